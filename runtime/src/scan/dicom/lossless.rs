//! Lossless JPEG (process 14) through jpeg-decoder.

use jpeg_decoder::{Decoder, PixelFormat};

use super::attributes::Attributes;
use super::decode::other_size;
use super::{malformed, unsupported};
use crate::Result;

/// Samples, row-major.
pub(super) fn decode(frame: &[u8], attributes: &Attributes) -> Result<Vec<u16>> {
    // The decoder reads zeros behind the end of the data.
    if !ends_whole(frame) {
        return Err(malformed("its JPEG stream is truncated"));
    }
    let mut decoder = Decoder::new(frame);
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
        _ => return Err(unsupported("colour DICOM is refused, its JPEG stream is in colour")),
    };
    Ok(samples)
}

/// Whether the last bytes, but for the padding of the fragment (zero, or a fill byte), are the end marker.
fn ends_whole(frame: &[u8]) -> bool {
    let end = frame.iter().rposition(|&b| b != 0 && b != 0xff).map_or(0, |last| last + 1);
    frame[..end].ends_with(b"\xff\xd9")
}

fn broken(error: jpeg_decoder::Error) -> crate::Error {
    match error {
        jpeg_decoder::Error::Unsupported(feature) => unsupported(format_args!("JPEG with {feature:?}")),
        error => malformed("its JPEG stream is damaged").source(error),
    }
}
