//! Pixel data to stored values, whatever they are coded in.

use std::borrow::Cow;

use super::attributes::Attributes;
use super::syntax::{Coding, Syntax};
use super::walk::PixelData;
use super::{jpeg2000, jpegls, lossless, malformed, rle, unsupported};
use crate::Result;
use crate::scan::{Limits, Pixels, jpeg};

/// Stored values, row-major [rows, columns], signs extended to 16 bits.
pub(super) fn decode(
    pixel_data: &PixelData,
    attributes: &Attributes,
    syntax: &Syntax,
    limits: &Limits,
) -> Result<Vec<u16>> {
    let stored = attributes.stored;
    match (pixel_data, syntax.coding) {
        (PixelData::Native { bytes, words }, Coding::Native) => native(bytes, *words, attributes, syntax),
        (PixelData::Native { .. }, _) => Err(malformed("its pixel data are not encapsulated")),
        (PixelData::Encapsulated(_), Coding::Native) => Err(malformed("its pixel data are encapsulated")),
        (PixelData::Encapsulated(fragments), coding) => {
            let frame = first_frame(fragments, attributes)?;
            let mut samples = match coding {
                Coding::Rle => rle::decode(&frame, attributes)?,
                Coding::JpegLossless => lossless::decode(&frame, attributes)?,
                Coding::JpegLs => jpegls::decode(&frame, attributes)?,
                Coding::Jpeg2000 => jpeg2000::decode(&frame, attributes)?,
                Coding::Jpeg | Coding::Native => baseline(&frame, attributes, limits)?,
            };
            if samples.len() != attributes.pixels() {
                return Err(other_size());
            }
            // The high bits of run lengths may hold an overlay; codecs deliver the value alone.
            for sample in &mut samples {
                *sample = if coding == Coding::Rle { stored.extract(*sample) } else { stored.extend(*sample) };
            }
            Ok(samples)
        }
    }
}

/// What the codec gets: the first fragment where each holds a frame, else all of them, since a frame may be in several
/// and every codec stops where its first picture ends.
pub(super) fn first_frame<'a>(fragments: &[&'a [u8]], attributes: &Attributes) -> Result<Cow<'a, [u8]>> {
    match fragments {
        [] => Err(malformed("its pixel data are empty")),
        [first, ..] if fragments.len() == attributes.frames as usize => Ok(Cow::Borrowed(*first)),
        several => Ok(Cow::Owned(several.concat())),
    }
}

fn native(bytes: &[u8], words: bool, attributes: &Attributes, syntax: &Syntax) -> Result<Vec<u16>> {
    let size = attributes.pixels() * attributes.bytes_per_sample();
    // 8-bit samples in words are padded to whole words before they are swapped.
    let swapped = syntax.big_endian() && words && attributes.bits_allocated == 8;
    let size = if swapped { size.next_multiple_of(2) } else { size };
    let bytes = bytes.get(..size).ok_or_else(|| malformed("it has fewer pixels than its size says"))?;
    let stored = attributes.stored;
    Ok(match (attributes.bits_allocated, syntax.big_endian()) {
        (16, false) => bytes.as_chunks().0.iter().map(|&b| stored.extract(u16::from_le_bytes(b))).collect(),
        (16, true) => bytes.as_chunks().0.iter().map(|&b| stored.extract(u16::from_be_bytes(b))).collect(),
        _ if swapped => {
            let pairs = bytes.as_chunks::<2>().0.iter();
            pairs.flat_map(|&[a, b]| [b, a]).take(attributes.pixels()).map(|b| stored.extract(b.into())).collect()
        }
        _ => bytes.iter().map(|&b| stored.extract(b.into())).collect(),
    })
}

/// Baseline JPEG through the reader of JPEG files, which is strict about missing data.
fn baseline(frame: &[u8], attributes: &Attributes, limits: &Limits) -> Result<Vec<u16>> {
    let decoded = jpeg::decode(frame, limits)?;
    if (decoded.width, decoded.height) != (attributes.columns.into(), attributes.rows.into()) {
        return Err(other_size());
    }
    match decoded.pixels {
        Pixels::Gray8(samples) => Ok(samples.into_iter().map(u16::from).collect()),
        Pixels::Rgb8(_) => Err(unsupported("its JPEG stream is in colour, its attributes are not")),
    }
}

/// A codec's own header contradicts the attributes.
pub(super) fn other_size() -> crate::Error {
    malformed("the size in its compressed stream is not the size in its attributes")
}
