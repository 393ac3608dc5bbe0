//! Lossless JPEG (process 14) through jpeg-decoder.

use jpeg_decoder::{Decoder, PixelFormat};

use super::attributes::Attributes;
use super::decode::other_size;
use super::{malformed, unsupported};
use crate::Result;
use crate::scan::jpeg::{EOI, ONES};

/// Samples, row-major.
pub(super) fn decode(frame: &[u8], attributes: &Attributes) -> Result<Vec<u16>> {
    let data = data(frame).ok_or_else(|| malformed("its JPEG stream is truncated"))?;
    // The decoder takes an early end marker for zeros without end.
    let stream = [data, &ONES, &EOI].concat();
    let mut decoder = Decoder::new(stream.as_slice());
    decoder.set_max_decoding_buffer_size(attributes.pixels() * 2);
    decoder.read_info().map_err(broken)?;
    let info = decoder.info().ok_or_else(|| malformed("its JPEG stream has no frame header"))?;
    if (info.width, info.height) != (attributes.columns, attributes.rows) {
        return Err(other_size());
    }
    let samples = match info.pixel_format {
        PixelFormat::L8 => decoder.decode().map_err(broken)?.into_iter().map(u16::from).collect(),
        PixelFormat::L16 => {
            decoder.decode().map_err(broken)?.as_chunks().0.iter().map(|&b| u16::from_ne_bytes(b)).collect()
        }
        _ => return Err(unsupported("its JPEG stream is in colour, its attributes are not")),
    };
    Ok(samples)
}

/// What comes before the end marker and the fill bytes (0xFF) before that. The fragment may be padded behind it.
fn data(frame: &[u8]) -> Option<&[u8]> {
    let end = frame.iter().rposition(|&b| b != 0 && b != 0xff)?;
    let data = frame[..end].iter().rposition(|&b| b != 0xff).map_or(0, |at| at + 1);
    (frame[end] == 0xd9 && data < end).then(|| &frame[..data])
}

fn broken(error: jpeg_decoder::Error) -> crate::Error {
    match error {
        jpeg_decoder::Error::Unsupported(feature) => unsupported(format_args!("JPEG with {feature:?}")),
        error => malformed("its JPEG stream is damaged").source(error),
    }
}
