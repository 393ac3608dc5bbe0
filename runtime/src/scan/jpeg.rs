//! JPEG: baseline and progressive, grey, colour and CMYK. Decoded strictly: a broken stream is an error, never a
//! picture with grey where data were missing. Grey levels are within 1 of libjpeg's; only colours whose chroma is stored
//! at a lower resolution differ by a few levels, because it is enlarged with other roundings.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::read::{Decoded, malformed};
use super::{Format, Limits, Pixels, Tags};
use crate::{Error, ErrorKind, Result};

mod markers;

/// One bits, byte-stuffed. No Huffman code consists of ones alone, so a decoder that needs them has lost its data.
pub(super) const ONES: [u8; 32] = {
    let mut ones = [0; 32];
    let mut i = 0;
    while i < ones.len() {
        ones[i] = 0xff;
        i += 2;
    }
    ones
};
pub(super) const EOI: [u8; 2] = [0xff, 0xd9];

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let markers::Skeleton { frame, end } = markers::walk(bytes)?;
    let (width, height) = (u32::from(frame.width), u32::from(frame.height));
    let (channels, color) = match frame.components {
        1 => (1, ColorSpace::Luma),
        // Four are cyan, magenta, yellow and black; inverted, as Adobe writes and Pillow reads them.
        3 | 4 => (3, ColorSpace::RGB),
        n => return Err(unsupported(format!("it has {n} components a pixel"))),
    };
    limits.check_picture(width, height, channels)?;
    let side = limits.max_side as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_out_colorspace(color);
    // The decoder takes an early end marker for zeros without end. Between scans of a progressive file it wants the
    // marker right away; there an early end costs detail, not rows.
    let padding = if frame.progressive { &[] } else { &ONES[..] };
    let bytes = [bytes.get(..end).unwrap_or_default(), padding, &EOI].concat();
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes.as_slice()), options);
    decoder.decode_headers().map_err(refused)?;
    let size = width as usize * height as usize * channels as usize;
    if decoder.dimensions() != Some((width as usize, height as usize)) || decoder.output_buffer_size() != Some(size) {
        return Err(malformed(Format::Jpeg, "its headers contradict each other"));
    }
    let mut samples = vec![0; size];
    decoder.decode_into(&mut samples).map_err(refused)?;
    let pixels = if channels == 1 { Pixels::Gray8(samples) } else { Pixels::from_rgb(samples) };
    Ok(Decoded { width, height, pixels, tags: Tags::default() })
}

fn unsupported(what: String) -> Error {
    Error::new(ErrorKind::UnsupportedFormat, format!("this kind of JPEG is not read: {what}"))
        .hint("export the picture as a baseline JPEG or a PNG")
}

fn refused(error: DecodeErrors) -> Error {
    match &error {
        DecodeErrors::Unsupported(scheme) => unsupported(format!("{scheme:?}")),
        _ => malformed(Format::Jpeg, format!("{error:?}")),
    }
}
