//! The head of a DICOM file: preamble and file meta information (PS3.10, 7.1).

use crate::{Error, ErrorKind, Result};

/// Of this program, made from a random UUID (PS3.5, B.2).
const IMPLEMENTATION: &str = "2.25.78239189653648303612836137374019456873";
const VERSION_NAME: &str = "RAD_DINO_EDGE";
const PREAMBLE: usize = 128;
const MAGIC: &[u8] = b"DICM";

/// What the head of a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// (0002,0002)
    pub sop_class: String,
    /// (0002,0003)
    pub sop_instance: String,
    /// (0002,0010)
    pub transfer_syntax: String,
    /// (0002,0016): who sent it; empty when nobody did.
    pub source: String,
}

impl Meta {
    /// All that stands before the data set.
    pub fn head(&self) -> Vec<u8> {
        let mut elements = vec![];
        let mut add = |element: u8, vr: &[u8; 2], value: &str, padding: u8| {
            let mut value = value.as_bytes().to_vec();
            value.resize(value.len().next_multiple_of(2), padding);
            elements.extend([2, 0, element, 0]);
            elements.extend(vr);
            elements.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
            elements.extend(value);
        };
        add(0x02, b"UI", &self.sop_class, 0);
        add(0x03, b"UI", &self.sop_instance, 0);
        add(0x10, b"UI", &self.transfer_syntax, 0);
        add(0x12, b"UI", IMPLEMENTATION, 0);
        add(0x13, b"SH", VERSION_NAME, b' ');
        if !self.source.is_empty() {
            add(0x16, b"AE", &self.source, b' ');
        }
        let version = b"\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01";
        let length = u32::try_from(version.len() + elements.len()).unwrap_or(0);
        let mut head = vec![0; PREAMBLE];
        head.extend(MAGIC);
        head.extend(b"\x02\0\0\0UL\x04\0");
        head.extend(length.to_le_bytes());
        head.extend(version);
        head.extend(elements);
        head
    }

    /// The head of a file, and its data set.
    ///
    /// # Errors
    /// `Malformed`.
    pub fn split(file: &[u8]) -> Result<(Meta, &[u8])> {
        let broken = |what: &str| Error::new(ErrorKind::Malformed, format!("broken DICOM file: {what}"));
        let after = file.get(PREAMBLE..).and_then(|rest| rest.strip_prefix(MAGIC));
        let mut rest = after.ok_or_else(|| broken("it has no head"))?;
        let mut meta = Meta::default();
        while let Some((&[2, 0, low, high, vr_0, vr_1, l0, l1], after)) = rest.split_first_chunk() {
            let cut = || broken("its head is cut off");
            let (length, after) = if matches!(&[vr_0, vr_1], b"OB" | b"OW" | b"SQ" | b"UN" | b"UT") {
                let (length, after) = after.split_first_chunk().ok_or_else(cut)?;
                (usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?, after)
            } else {
                (usize::from(u16::from_le_bytes([l0, l1])), after)
            };
            let (value, after) = after.split_at_checked(length).ok_or_else(cut)?;
            let text = || String::from_utf8_lossy(value).trim_end_matches(['\0', ' ']).to_string();
            match u16::from_le_bytes([low, high]) {
                0x0002 => meta.sop_class = text(),
                0x0003 => meta.sop_instance = text(),
                0x0010 => meta.transfer_syntax = text(),
                0x0016 => meta.source = text(),
                _ => {}
            }
            rest = after;
        }
        if meta.sop_class.is_empty() || meta.sop_instance.is_empty() || meta.transfer_syntax.is_empty() {
            return Err(broken("its head names no SOP class, SOP instance or transfer syntax"));
        }
        Ok((meta, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_head_reads_back() {
        let meta = Meta {
            sop_class: "1.2.840.10008.5.1.4.1.1.1".into(),
            sop_instance: "1.2.3.4".into(),
            transfer_syntax: "1.2.840.10008.1.2".into(),
            source: "MODALITY1".into(),
        };
        let mut file = meta.head();
        assert!(file.len().is_multiple_of(2));
        let length = u32::from_le_bytes(*file[140..].first_chunk().unwrap()) as usize;
        assert_eq!(144 + length, file.len());
        file.extend(b"\x08\0\x16\0rest");
        assert_eq!(Meta::split(&file).unwrap(), (meta, &b"\x08\0\x16\0rest"[..]));
    }

    proptest! {
        #[test]
        fn any_file_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut file = vec![0; PREAMBLE];
            file.extend(MAGIC);
            file.extend(bytes);
            let _ = Meta::split(&file);
        }
    }
}
