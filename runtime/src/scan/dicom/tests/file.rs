//! A DICOM file built element by element, and what is read of it.

use crate::ErrorKind;
use crate::scan::{Format, Limits, Options, Pixels, decode};

pub(super) const EXPLICIT: &str = "1.2.840.10008.1.2.1";
pub(super) const BIG: &str = "1.2.840.10008.1.2.2";
pub(super) const DEFLATED: &str = "1.2.840.10008.1.2.1.99";
pub(super) const RLE: &str = "1.2.840.10008.1.2.5";

/// A data set: (element of group 0028 or pixel data, VR, value).
#[derive(Clone)]
pub(super) struct File {
    pub(super) syntax: &'static str,
    pub(super) elements: Vec<(u32, &'static [u8; 2], Vec<u8>)>,
}

/// 16 bits, little endian.
pub(super) fn us(value: u16) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

pub(super) fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|&v| (v as u16).to_le_bytes()).collect()
}

impl File {
    /// One row of `bits`-bit pixels in 16.
    pub(super) fn deep(bits: u16, values: &[i32]) -> File {
        File::new(16, bits, values.len() as u16, words(values))
    }

    pub(super) fn shallow(values: &[u8]) -> File {
        let mut padded = values.to_vec();
        padded.resize(values.len().next_multiple_of(2), 0);
        File::new(8, 8, values.len() as u16, padded)
    }

    pub(super) fn new(allocated: u16, bits: u16, columns: u16, pixels: Vec<u8>) -> File {
        let elements = vec![
            (0x0028_0002, b"US", us(1)),
            (0x0028_0004, b"CS", b"MONOCHROME2 ".to_vec()),
            (0x0028_0010, b"US", us(1)),
            (0x0028_0011, b"US", us(columns)),
            (0x0028_0100, b"US", us(allocated)),
            (0x0028_0101, b"US", us(bits)),
            (0x0028_0102, b"US", us(bits - 1)),
            (0x0028_0103, b"US", us(0)),
            (0x7fe0_0010, b"OW", pixels),
        ];
        File { syntax: EXPLICIT, elements }
    }

    pub(super) fn with(mut self, tag: u32, vr: &'static [u8; 2], value: impl Into<Vec<u8>>) -> File {
        self.elements.retain(|e| e.0 != tag);
        self.elements.push((tag, vr, value.into()));
        self.elements.sort_by_key(|e| e.0);
        self
    }

    pub(super) fn without(mut self, tag: u32) -> File {
        self.elements.retain(|e| e.0 != tag);
        self
    }

    pub(super) fn syntax(mut self, uid: &'static str) -> File {
        self.syntax = uid;
        self
    }

    pub(super) fn dataset(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (tag, vr, value) in &self.elements {
            let parts = [(tag >> 16) as u16, *tag as u16];
            let big = self.syntax == BIG;
            bytes.extend(parts.iter().flat_map(|p| if big { p.to_be_bytes() } else { p.to_le_bytes() }));
            bytes.extend_from_slice(*vr);
            let encapsulated = self.syntax == RLE || self.syntax.starts_with("1.2.840.10008.1.2.4.");
            let length =
                if encapsulated && *tag == 0x7fe0_0010 || *vr == b"SQ" { u32::MAX } else { value.len() as u32 };
            if matches!(*vr, b"OW" | b"OB" | b"SQ" | b"OF") {
                bytes.extend_from_slice(&[0, 0]);
                bytes.extend(if big { length.to_be_bytes() } else { length.to_le_bytes() });
            } else {
                let length = length as u16;
                bytes.extend(if big { length.to_be_bytes() } else { length.to_le_bytes() });
            }
            if big && matches!(*vr, b"US" | b"OW") {
                bytes.extend(value.chunks(2).flat_map(|pair| [pair[1], pair[0]]));
            } else {
                bytes.extend_from_slice(value);
            }
        }
        bytes
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut uid = self.syntax.as_bytes().to_vec();
        uid.resize(uid.len().next_multiple_of(2), 0);
        let mut bytes = vec![0; 128];
        bytes.extend_from_slice(b"DICM\x02\0\0\0UL\x04\0");
        bytes.extend((uid.len() as u32 + 8).to_le_bytes());
        bytes.extend_from_slice(b"\x02\0\x10\0UI");
        bytes.extend((uid.len() as u16).to_le_bytes());
        bytes.extend(uid);
        let dataset = self.dataset();
        if self.syntax == DEFLATED {
            use std::io::Write;
            let mut encoder = flate2::write::DeflateEncoder::new(bytes, flate2::Compression::fast());
            encoder.write_all(&dataset).unwrap();
            return encoder.finish().unwrap();
        }
        bytes.extend(dataset);
        bytes
    }

    pub(super) fn grey(&self) -> Vec<u8> {
        let scan = decode(&self.bytes(), &Limits::default()).unwrap();
        assert_eq!((scan.format, scan.format.as_str(), scan.sha256.len()), (Format::Dicom, "dicom", 64));
        let Pixels::Gray8(samples) = scan.pixels else { panic!("grey expected") };
        assert_eq!(samples.len(), (scan.width * scan.height) as usize);
        samples
    }

    pub(super) fn read(&self, options: Options) -> Pixels {
        options.decode(&self.bytes()).unwrap().pixels
    }

    pub(super) fn refused(&self) -> (ErrorKind, String) {
        let error = decode(&self.bytes(), &Limits::default()).unwrap_err();
        assert!(error.remedy().is_some());
        (error.kind(), error.message().to_string())
    }
}

/// Items around fragments; the first is the offset table.
pub(super) fn encapsulate(fragments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"\xfe\xff\0\xe0\0\0\0\0".to_vec();
    for fragment in fragments {
        bytes.extend_from_slice(b"\xfe\xff\0\xe0");
        bytes.extend((fragment.len() as u32).to_le_bytes());
        bytes.extend_from_slice(fragment);
    }
    bytes.extend_from_slice(b"\xfe\xff\xdd\xe0\0\0\0\0");
    bytes
}

pub(super) fn item(elements: &[u8]) -> Vec<u8> {
    let mut bytes = b"\xfe\xff\0\xe0".to_vec();
    bytes.extend((elements.len() as u32).to_le_bytes());
    bytes.extend_from_slice(elements);
    bytes.extend_from_slice(b"\xfe\xff\xdd\xe0\0\0\0\0");
    bytes
}
