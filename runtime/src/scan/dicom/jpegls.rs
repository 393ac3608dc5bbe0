//! JPEG-LS, lossless and near-lossless, through pure_jpegls.

use std::borrow::Cow;

use super::attributes::Attributes;
use super::malformed;
use crate::Result;
use crate::scan::jpeg::EOI;

/// Samples, row-major.
pub(super) fn decode(frame: &[u8], attributes: &Attributes) -> Result<Vec<u16>> {
    // The decoder compares the size with its own header before it allocates, and insists on the end marker.
    let (samples, _, _) = ::jpegls::decode(&without_fill(frame), attributes.columns.into(), attributes.rows.into())
        .map_err(|e| {
            malformed("its JPEG-LS stream is damaged, truncated, in colour or of another size").source(e.to_string())
        })?;
    Ok(samples)
}

/// The stream without fill bytes (0xFF) before its end marker, which DCMTK writes for an even length and pure_jpegls
/// takes for another marker. An 0xFF of the data is never followed by one, but by a byte below 0x80.
fn without_fill(frame: &[u8]) -> Cow<'_, [u8]> {
    let Some(last) = frame.iter().rposition(|&b| b == 0xd9) else { return Cow::Borrowed(frame) };
    let data = frame[..last].iter().rposition(|&b| b != 0xff).map_or(0, |at| at + 1);
    if last - data > 1 { Cow::Owned([&frame[..data], &EOI].concat()) } else { Cow::Borrowed(frame) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_bytes_are_dropped_before_the_end_alone() {
        assert_eq!(*without_fill(b"\xff\xd8\x01\xff\xff\xff\xd9\0"), *b"\xff\xd8\x01\xff\xd9");
        for stream in [&b"\xff\xd8\x01\xff\xd9"[..], b"\xff\xd8\xff\xff", b"\x01\xd9", b""] {
            assert_eq!(*without_fill(stream), *stream);
        }
    }
}
