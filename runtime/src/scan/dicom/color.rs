//! Colour, read only when forced: 8 bits a sample, three samples a pixel.

use super::attributes::{Attributes, Color};
use super::decode::{first_frame, other_size};
use super::syntax::{Coding, Syntax};
use super::walk::PixelData;
use super::{jpeg2000, malformed, rle, unsupported};
use crate::Result;
use crate::scan::{Limits, Pixels, jpeg};

/// The first frame, [rows, columns, 3], RGB as it is stored: no LUT, no stretch.
pub(super) fn decode(
    pixel_data: &PixelData,
    attributes: &Attributes,
    color: Color,
    syntax: &Syntax,
    limits: &Limits,
) -> Result<Vec<u8>> {
    let size = attributes.pixels() * 3;
    let samples = match (pixel_data, syntax.coding) {
        (PixelData::Native { .. }, Coding::Native) | (PixelData::Encapsulated(_), Coding::Rle)
            if color == Color::Subsampled =>
        {
            return Err(unsupported("its colours are subsampled, which is read only where they are compressed"));
        }
        (PixelData::Native { bytes, words }, Coding::Native) => {
            let swapped = syntax.big_endian() && *words;
            let stored = if swapped { size.next_multiple_of(2) } else { size };
            let bytes = bytes.get(..stored).ok_or_else(|| malformed("it has fewer pixels than its size says"))?;
            let samples: Vec<u8> = if swapped {
                bytes.as_chunks::<2>().0.iter().flat_map(|&[a, b]| [b, a]).take(size).collect()
            } else {
                bytes.to_vec()
            };
            if attributes.planar { interleave(&samples) } else { samples }
        }
        (PixelData::Native { .. }, _) => return Err(malformed("its pixel data are not encapsulated")),
        (PixelData::Encapsulated(_), Coding::Native) => return Err(malformed("its pixel data are encapsulated")),
        (PixelData::Encapsulated(fragments), coding) => {
            let frame = first_frame(fragments, attributes)?;
            match coding {
                Coding::Rle => interleave(&rle::planes(&frame, attributes.pixels(), 3)?.concat()),
                // The streams themselves say what their components are, and the decoders give RGB.
                Coding::Jpeg => return rgb(jpeg::decode(&frame, limits)?, attributes),
                Coding::Jpeg2000 => return jpeg2000::decode_rgb(&frame, attributes),
                _ => return Err(unsupported("colour in this transfer syntax is not read, not even when forced")),
            }
        }
    };
    Ok(if color == Color::Ybr {
        samples.as_chunks().0.iter().flat_map(|&pixel| from_ybr(pixel)).collect()
    } else {
        samples
    })
}

fn rgb(decoded: crate::scan::read::Decoded, attributes: &Attributes) -> Result<Vec<u8>> {
    if (decoded.width, decoded.height) != (attributes.columns.into(), attributes.rows.into()) {
        return Err(other_size());
    }
    Ok(match decoded.pixels {
        Pixels::Rgb8(samples) => samples,
        Pixels::Gray8(samples) => samples.into_iter().flat_map(|sample| [sample; 3]).collect(),
    })
}

/// Three planes to pixels.
fn interleave(planes: &[u8]) -> Vec<u8> {
    let (red, rest) = planes.split_at(planes.len() / 3);
    let (green, blue) = rest.split_at(rest.len() / 2);
    red.iter().zip(green).zip(blue).flat_map(|((&r, &g), &b)| [r, g, b]).collect()
}

/// YBR_FULL to RGB (PS3.3, C.7.6.3.1.2).
fn from_ybr([y, b, r]: [u8; 3]) -> [u8; 3] {
    let (y, b, r) = (f64::from(y), f64::from(b) - 128.0, f64::from(r) - 128.0);
    [y + 1.402 * r, y - 0.344_136 * b - 0.714_136 * r, y + 1.772 * b].map(|v| (v + 0.5).floor().clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_and_primaries() {
        assert_eq!(interleave(&[1, 2, 3, 4, 5, 6]), [1, 3, 5, 2, 4, 6]);
        assert_eq!(from_ybr([76, 85, 255]), [254, 0, 0]);
        assert_eq!(from_ybr([128, 128, 128]), [128; 3]);
    }
}
