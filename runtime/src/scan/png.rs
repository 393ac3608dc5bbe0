//! PNG: grey or colour, with or without alpha or palette, 1 to 16 bits. Of an animation, the first picture.

use std::io::Cursor;

use image::codecs::png::PngDecoder;
use image::{ColorType, ImageDecoder, ImageError};

use super::read::{Decoded, malformed, truncated};
use super::{Format, Limits, Pixels, Tags, depth};
use crate::{Error, ErrorKind, Result};

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let (width, height) = check_header(bytes, limits)?;
    check_complete(bytes)?;
    let mut allowed = image::Limits::default();
    allowed.max_image_width = Some(limits.max_side);
    allowed.max_image_height = Some(limits.max_side);
    allowed.max_alloc = Some(limits.max_decoded_bytes);
    let decoder = PngDecoder::with_limits(Cursor::new(bytes), allowed).map_err(refused)?;
    if decoder.dimensions() != (width, height) {
        return Err(malformed(Format::Png, "it has two headers"));
    }
    let color = decoder.color_type();
    // Transparency may have added a channel that the header does not tell of.
    limits.check_picture(width, height, u64::from(color.bytes_per_pixel()))?;
    let size = usize::try_from(decoder.total_bytes()).map_err(|_| malformed(Format::Png, "it is too large"))?;
    let mut samples = vec![0; size];
    decoder.read_image(&mut samples).map_err(refused)?;
    let pixels = match color {
        ColorType::L8 => Pixels::Gray8(samples),
        ColorType::La8 => Pixels::Gray8(drop_alpha::<u8, 2, 1>(&samples)),
        ColorType::Rgb8 => Pixels::from_rgb(samples),
        ColorType::Rgba8 => Pixels::from_rgb(drop_alpha::<u8, 4, 3>(&samples)),
        ColorType::L16 => Pixels::Gray8(depth::stretch(&words(&samples))),
        ColorType::La16 => Pixels::Gray8(depth::stretch(&drop_alpha::<u16, 2, 1>(&words(&samples)))),
        ColorType::Rgb16 => Pixels::from_rgb(depth::stretch(&words(&samples))),
        ColorType::Rgba16 => Pixels::from_rgb(depth::stretch(&drop_alpha::<u16, 4, 3>(&words(&samples)))),
        other => return Err(malformed(Format::Png, format!("its pixels are {other:?}"))),
    };
    Ok(Decoded { width, height, pixels, tags: Tags::default() })
}

/// Width and height of the first chunk, which the format wants to be IHDR.
fn check_header(bytes: &[u8], limits: &Limits) -> Result<(u32, u32)> {
    let Some(header) = bytes.get(8..26).and_then(|h| h.as_array::<18>()) else {
        return Err(truncated(Format::Png));
    };
    let [_, _, _, _, b'I', b'H', b'D', b'R', w0, w1, w2, w3, h0, h1, h2, h3, depth, color] = *header else {
        return Err(malformed(Format::Png, "it does not start with its header"));
    };
    let (width, height) = (u32::from_be_bytes([w0, w1, w2, w3]), u32::from_be_bytes([h0, h1, h2, h3]));
    let channels = match color {
        0 => 1,
        4 => 2,
        6 => 4,
        // 2: RGB; 3: palette, which is expanded to RGB
        _ => 3,
    };
    limits.check_picture(width, height, channels * if depth == 16 { 2 } else { 1 })?;
    Ok((width, height))
}

/// Chunk after chunk must be there up to IEND; what follows it does not matter.
fn check_complete(bytes: &[u8]) -> Result<()> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        if after.starts_with(b"IEND") {
            return Ok(());
        }
        // type and checksum besides the data
        let size = (u32::from_be_bytes(*length) as usize).saturating_add(8);
        rest = after.get(size..).unwrap_or_default();
    }
    Err(truncated(Format::Png))
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|&b| u16::from_ne_bytes(b)).collect()
}

/// Keeps the first `KEEP` of every `ALL` samples.
fn drop_alpha<T: Copy, const ALL: usize, const KEEP: usize>(samples: &[T]) -> Vec<T> {
    samples.as_chunks::<ALL>().0.iter().flat_map(|pixel| &pixel[..KEEP]).copied().collect()
}

fn refused(error: ImageError) -> Error {
    match &error {
        ImageError::Limits(_) => {
            Error::new(ErrorKind::Limits, format!("the PNG needs more memory than allowed: {error}"))
                .hint("raise --max-decoded-mb if the file is to be trusted")
        }
        ImageError::Unsupported(_) => {
            Error::new(ErrorKind::UnsupportedFormat, format!("this kind of PNG is not read: {error}"))
                .hint("export the picture as an 8-bit grey PNG")
        }
        _ => malformed(Format::Png, &error),
    }
    .source(error)
}
