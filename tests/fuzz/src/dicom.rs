//! DICOM files from a structure: well-formed enough that the mutations reach what lies behind the parser.

use arbitrary::Arbitrary;

/// A film, as its elements say.
#[derive(Arbitrary, Clone, Debug)]
pub struct Film {
    pub syntax: u8,
    pub rows: u16,
    pub columns: u16,
    pub samples: Option<u8>,
    pub photometric: u8,
    pub allocated: u8,
    pub bits: u8,
    pub high_bit: u8,
    pub signed: u8,
    pub padding: Option<(u16, Option<u16>)>,
    pub rescale: Option<(Number, Number)>,
    pub frames: Option<Number>,
    pub lut: Option<Lut>,
    /// Elements of any kind: tag, VR, value.
    pub others: Vec<(u16, u16, u8, Vec<u8>)>,
    pub pixels: Pixels,
    /// Bytes are left out at the end.
    pub cut: Option<u16>,
}

/// A decimal string.
#[derive(Arbitrary, Clone, Debug)]
pub enum Number {
    Finite(i16, u8),
    Word(u8),
    Bytes([u8; 6]),
}

/// A Modality LUT Sequence.
#[derive(Arbitrary, Clone, Debug)]
pub struct Lut {
    pub descriptor: [u16; 3],
    pub data: Vec<u16>,
    pub items: u8,
}

/// Pixel data.
#[derive(Arbitrary, Clone, Debug)]
pub enum Pixels {
    None,
    Native(Vec<u8>),
    /// Sized to fit rows and columns, filled with a pattern.
    Fitting(u8),
    Fragments(Vec<Vec<u8>>),
}

const SYNTAXES: [&str; 13] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
];
const IMPLICIT: usize = 1;
const BIG: usize = 2;
const PHOTOMETRIC: [&[u8]; 4] = [b"MONOCHROME2 ", b"MONOCHROME1 ", b"RGB ", b"PALETTE COLOR "];
const VRS: [&[u8; 2]; 10] = [b"US", b"SS", b"OW", b"OB", b"UN", b"LO", b"SQ", b"DS", b"UT", b"OF"];

struct Writer {
    bytes: Vec<u8>,
    syntax: usize,
}

impl Writer {
    fn u16(&mut self, value: u16) {
        self.bytes.extend(if self.syntax == BIG { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend(if self.syntax == BIG { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn header(&mut self, group: u16, element: u16, vr: &[u8; 2], length: u32) {
        self.u16(group);
        self.u16(element);
        if self.syntax == IMPLICIT {
            return self.u32(length);
        }
        self.bytes.extend_from_slice(vr);
        if matches!(vr, b"OW" | b"OB" | b"SQ" | b"OF" | b"UN" | b"UT") {
            self.u16(0);
            self.u32(length);
        } else {
            self.u16(length as u16);
        }
    }

    fn element(&mut self, group: u16, element: u16, vr: &[u8; 2], value: &[u8]) {
        let value = &value[..value.len().min(65_534)];
        let odd = value.len() % 2;
        self.header(group, element, vr, (value.len() + odd) as u32);
        self.bytes.extend_from_slice(value);
        self.bytes.extend(std::iter::repeat_n(0, odd));
    }

    fn short(&mut self, element: u16, value: u16) {
        self.header(0x28, element, b"US", 2);
        self.u16(value);
    }

    fn item(&mut self, value: &[u8]) {
        self.u16(0xfffe);
        self.u16(0xe000);
        self.u32(value.len() as u32);
        self.bytes.extend_from_slice(value);
    }

    fn end_of_sequence(&mut self) {
        self.u16(0xfffe);
        self.u16(0xe0dd);
        self.u32(0);
    }
}

impl Number {
    fn text(&self) -> Vec<u8> {
        match self {
            Number::Finite(value, places) => {
                format!("{}", f64::from(*value) / 10f64.powi(i32::from(places % 8))).chars().take(16).collect::<String>().into()
            }
            Number::Word(i) => [&b"NaN"[..], b"inf", b"-1e308", b"1e-320", b"", b"1\\2"][usize::from(i % 6)].to_vec(),
            Number::Bytes(bytes) => bytes.to_vec(),
        }
    }
}

impl Film {
    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let syntax = usize::from(self.syntax) % SYNTAXES.len();
        let mut uid = SYNTAXES[syntax].as_bytes().to_vec();
        uid.resize(uid.len().next_multiple_of(2), 0);
        let mut file = Writer { bytes: vec![0; 128], syntax: 0 };
        file.bytes.extend_from_slice(b"DICM");
        file.element(2, 0x10, b"UI", &uid);
        let mut bytes = file.bytes;
        // Deflated data sets go in as stored blocks: no compressor is needed to reach what lies behind.
        let dataset = self.dataset(syntax);
        if syntax == 3 {
            for (i, block) in dataset.chunks(65_535).enumerate() {
                bytes.push(u8::from((i + 1) * 65_535 >= dataset.len()));
                bytes.extend((block.len() as u16).to_le_bytes());
                bytes.extend((!(block.len() as u16)).to_le_bytes());
                bytes.extend_from_slice(block);
            }
        } else {
            bytes.extend(dataset);
        }
        if let Some(cut) = self.cut {
            bytes.truncate(bytes.len().saturating_sub(usize::from(cut)));
        }
        bytes
    }

    fn dataset(&self, syntax: usize) -> Vec<u8> {
        let mut out = Writer { bytes: vec![], syntax };
        for (group, element, vr, value) in &self.others {
            if *group < 0x28 && *group > 2 {
                out.element(*group, *element, VRS[usize::from(*vr) % VRS.len()], value);
            }
        }
        out.short(0x02, self.samples.map_or(1, u16::from));
        out.element(0x28, 0x04, b"CS", PHOTOMETRIC[usize::from(self.photometric) % PHOTOMETRIC.len()]);
        if let Some(frames) = &self.frames {
            out.element(0x28, 0x08, b"IS", &frames.text());
        }
        out.short(0x10, self.rows);
        out.short(0x11, self.columns);
        out.short(0x100, u16::from(self.allocated));
        out.short(0x101, u16::from(self.bits));
        out.short(0x102, u16::from(self.high_bit));
        out.short(0x103, u16::from(self.signed));
        if let Some((value, limit)) = self.padding {
            out.short(0x120, value);
            limit.into_iter().for_each(|limit| out.short(0x121, limit));
        }
        if let Some((intercept, slope)) = &self.rescale {
            out.element(0x28, 0x1052, b"DS", &intercept.text());
            out.element(0x28, 0x1053, b"DS", &slope.text());
        }
        if let Some(lut) = &self.lut {
            let mut item = Writer { bytes: vec![], syntax };
            item.header(0x28, 0x3002, b"US", 6);
            lut.descriptor.iter().for_each(|value| item.u16(*value));
            item.header(0x28, 0x3006, b"OW", lut.data.len() as u32 * 2);
            lut.data.iter().for_each(|value| item.u16(*value));
            out.header(0x28, 0x3000, b"SQ", u32::MAX);
            for _ in 0..lut.items % 3 {
                out.item(&item.bytes);
            }
            out.end_of_sequence();
        }
        match &self.pixels {
            Pixels::None => {}
            Pixels::Native(bytes) => out.element(0x7fe0, 0x10, b"OW", bytes),
            Pixels::Fitting(seed) => {
                let size = usize::from(self.rows) * usize::from(self.columns) * usize::from(self.allocated).div_ceil(8);
                let bytes: Vec<u8> = (0..size.min(60_000)).map(|i| (i as u8).wrapping_mul(seed | 1)).collect();
                out.element(0x7fe0, 0x10, b"OW", &bytes);
            }
            Pixels::Fragments(fragments) => {
                out.header(0x7fe0, 0x10, b"OB", u32::MAX);
                out.item(&[]);
                fragments.iter().for_each(|fragment| out.item(fragment));
                out.end_of_sequence();
            }
        }
        out.bytes
    }
}
