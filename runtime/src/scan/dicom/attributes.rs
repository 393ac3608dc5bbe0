//! What the attributes of the Image Pixel module say (PS3.3, C.7.6.3), checked before any pixel is decoded.

use std::ops::RangeInclusive;

use super::walk::{Elements, Tag, trim};
use super::{malformed, unsupported, unsupported_unless_forced};
use crate::Result;
use crate::scan::Limits;

/// The attributes of one picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub rows: u16,
    pub columns: u16,
    /// 8 or 16.
    pub bits_allocated: u16,
    pub stored: Stored,
    /// MONOCHROME1: the lowest value is white.
    pub inverted: bool,
    /// Stored values that are no part of the picture.
    pub padding: Option<RangeInclusive<i32>>,
    /// Three samples a pixel; `None` is grey.
    pub color: Option<Color>,
    /// The samples of a colour picture are in planes, not in pixels.
    pub planar: bool,
    /// At least 1.
    pub frames: u32,
}

/// How colours are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Rgb,
    /// Luminance and two colour differences, all of full range.
    Ybr,
    /// Luminance and colour differences in a form that only a compressed stream's decoder undoes.
    Subsampled,
}

/// Where a stored value sits within its allocated bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    pub bits: u16,
    pub high_bit: u16,
    pub signed: bool,
}

impl Stored {
    /// The stored value in an allocated word, its sign extended to 16 bits.
    pub fn extract(self, word: u16) -> u16 {
        let value = word << (15 - self.high_bit);
        let shift = 16 - self.bits;
        if self.signed { (value.cast_signed() >> shift).cast_unsigned() } else { value >> shift }
    }

    /// The stored value a codec delivered: already in the low bits.
    pub fn extend(self, sample: u16) -> u16 {
        if self.signed { Stored { high_bit: self.bits - 1, ..self }.extract(sample) } else { sample }
    }

    /// The number behind 16 bits.
    pub fn number(self, value: u16) -> i32 {
        if self.signed { i32::from(value.cast_signed()) } else { i32::from(value) }
    }
}

impl Attributes {
    /// Colour, several frames and a missing photometric interpretation are refused unless `forced`.
    pub fn of(elements: &Elements, big_endian: bool, forced: bool) -> Result<Attributes> {
        let find = |tag: Tag| short(elements.image.get(&tag).copied(), big_endian);
        let need = |element: u16, name: &str| {
            find((0x0028, element))
                .ok_or_else(|| malformed(format_args!("the tag {name} (0028,{element:04X}) is missing")))
        };
        let (rows, columns) = (need(0x0010, "Rows")?, need(0x0011, "Columns")?);
        let samples = need(0x0002, "SamplesPerPixel")?;
        let photometric = elements.image.get(&(0x0028, 0x0004)).map(|word| trim(word));
        let (inverted, color) = match (photometric, samples) {
            (Some(b"MONOCHROME1"), 1) => (true, None),
            (Some(b"MONOCHROME2"), 1) => (false, None),
            (Some(b"MONOCHROME1" | b"MONOCHROME2"), samples) => {
                return Err(malformed(format_args!("it is grey with {samples} samples a pixel")));
            }
            (Some(word), samples) if forced => forced_color(word, samples)?,
            (Some(word), _) => return Err(color_refused(word)),
            (None, 1) if forced => (false, None),
            (None, _) => return Err(malformed("the tag PhotometricInterpretation (0028,0004) is missing")),
        };
        let frames = elements.image.get(&(0x0028, 0x0008)).map_or(Some(1.0), |value| number(value));
        let frames = match frames {
            Some(frames) if (0.0..=1.0).contains(&frames) => 1,
            Some(frames) if frames > 1.0 && forced => frames as u32,
            Some(frames) if frames > 1.0 => {
                let what = format_args!("multi-frame DICOM is refused, it has {frames} frames");
                return Err(unsupported_unless_forced(what));
            }
            _ => return Err(malformed("the tag NumberOfFrames (0028,0008) holds no number of frames")),
        };
        let bits_allocated = need(0x0100, "BitsAllocated")?;
        match bits_allocated {
            8 | 16 => {}
            1 => return Err(unsupported("its pixels are single bits, as in a segmentation")),
            bits => return Err(unsupported(format_args!("its pixels have {bits} bits allocated, 8 or 16 are read"))),
        }
        if color.is_some() && bits_allocated != 8 {
            return Err(unsupported(format_args!("its colours have {bits_allocated} bits allocated, 8 are read")));
        }
        let (bits, high_bit) = (need(0x0101, "BitsStored")?, need(0x0102, "HighBit")?);
        if bits == 0 || high_bit >= bits_allocated || bits > high_bit + 1 {
            return Err(malformed(format_args!(
                "{bits} bits stored below high bit {high_bit} do not fit {bits_allocated} bits allocated"
            )));
        }
        let signed = match need(0x0103, "PixelRepresentation")? {
            0 => false,
            1 => true,
            _ => return Err(malformed("the tag PixelRepresentation (0028,0103) is neither 0 nor 1")),
        };
        let stored = Stored { bits, high_bit, signed };
        let padding = find((0x0028, 0x0120)).map(|value| {
            let value = stored.number(value);
            let limit = find((0x0028, 0x0121)).map_or(value, |limit| stored.number(limit));
            value.min(limit)..=value.max(limit)
        });
        let planar = color.is_some() && find((0x0028, 0x0006)) == Some(1);
        Ok(Attributes { rows, columns, bits_allocated, stored, inverted, padding, color, planar, frames })
    }

    /// # Errors
    /// `Limits` or `Malformed` for the size.
    pub fn check(&self, limits: &Limits) -> Result<()> {
        let samples = if self.color.is_some() { 3 } else { 1 };
        limits.check_picture(self.columns.into(), self.rows.into(), self.bytes_per_sample() as u64 * samples)
    }

    pub fn pixels(&self) -> usize {
        usize::from(self.rows) * usize::from(self.columns)
    }

    /// Of one sample.
    pub fn bytes_per_sample(&self) -> usize {
        usize::from(self.bits_allocated / 8)
    }
}

/// What a word that is not MONOCHROME1 or MONOCHROME2 is taken for.
fn forced_color(word: &[u8], samples: u16) -> Result<(bool, Option<Color>)> {
    match (word, samples) {
        (b"PALETTE COLOR", _) => Err(unsupported("PALETTE COLOR is not read, not even when forced")),
        (_, 1) => Ok((false, None)),
        (b"YBR_FULL", 3) => Ok((false, Some(Color::Ybr))),
        // Of these only compressed streams are read, whose decoders give RGB.
        (b"YBR_FULL_422" | b"YBR_PARTIAL_420" | b"YBR_ICT" | b"YBR_RCT", 3) => Ok((false, Some(Color::Subsampled))),
        (_, 3) => Ok((false, Some(Color::Rgb))),
        (_, samples) => Err(unsupported(format_args!("it has {samples} samples a pixel"))),
    }
}

fn color_refused(word: &[u8]) -> crate::Error {
    const WORDS: [&str; 10] = [
        "RGB",
        "YBR_FULL",
        "YBR_FULL_422",
        "YBR_PARTIAL_422",
        "YBR_PARTIAL_420",
        "YBR_ICT",
        "YBR_RCT",
        "PALETTE COLOR",
        "XYB",
        "HSV",
    ];
    match WORDS.into_iter().find(|known| known.as_bytes() == word) {
        Some(known) => unsupported_unless_forced(format_args!(
            "colour DICOM is refused, its photometric interpretation is {known}"
        )),
        None => unsupported_unless_forced("its photometric interpretation is not MONOCHROME1 or MONOCHROME2"),
    }
}

/// The first value of an element of 16-bit numbers.
pub(super) fn short(value: Option<&[u8]>, big_endian: bool) -> Option<u16> {
    let bytes = *value?.first_chunk::<2>()?;
    Some(if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
}

/// The first value of an element of decimal or integer strings.
pub(super) fn number(value: &[u8]) -> Option<f64> {
    let first = value.split(|&b| b == b'\\').next()?;
    std::str::from_utf8(trim(first)).ok()?.parse().ok().filter(|number: &f64| number.is_finite())
}
