//! JPEG: baseline and progressive, grey, colour and CMYK. Decoded strictly: a broken stream is an error, never a
//! picture with grey where data were missing.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::read::{Decoded, malformed};
use super::{Format, Limits, Pixels};
use crate::{Error, ErrorKind, Result};

mod markers;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded> {
    let frame = markers::walk(bytes)?;
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
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(refused)?;
    let size = width as usize * height as usize * channels as usize;
    if decoder.dimensions() != Some((width as usize, height as usize)) || decoder.output_buffer_size() != Some(size) {
        return Err(malformed(Format::Jpeg, "its headers contradict each other"));
    }
    let mut samples = vec![0; size];
    decoder.decode_into(&mut samples).map_err(refused)?;
    let pixels = if channels == 1 { Pixels::Gray8(samples) } else { Pixels::from_rgb(samples) };
    Ok(Decoded { width, height, pixels })
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
