//! The skeleton of a JPEG file: is it complete, and what does its frame header say, before anything is decoded.

use super::super::Format;
use super::super::read::{malformed, truncated};
use super::unsupported;
use crate::Result;

/// What the frame header (SOF) says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub width: u16,
    pub height: u16,
    pub components: u8,
    /// Coded in several passes over the whole picture.
    pub progressive: bool,
}

/// A complete file's skeleton.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Skeleton {
    pub frame: Frame,
    /// Where the end marker (EOI) stands.
    pub end: usize,
}

/// Follows the markers up to the end of the picture (EOI); what comes after it does not matter.
pub(super) fn walk(bytes: &[u8]) -> Result<Skeleton> {
    let mut frame = None;
    let mut scans = 0;
    // after SOI
    let mut rest = bytes.get(2..).unwrap_or_default();
    let end = loop {
        let (marker, after) = next_marker(rest)?;
        rest = match marker {
            0xd9 => break bytes.len() - after.len() - 2,
            // TEM, RST and SOI stand alone
            0x01 | 0xd0..=0xd8 => after,
            _ => {
                let (segment, after) = segment(after)?;
                match marker {
                    // DHT, JPG and DAC share the numbers of the frame headers
                    0xc4 | 0xc8 | 0xcc => {}
                    0xc0..=0xcf if frame.is_some() => {
                        return Err(malformed(Format::Jpeg, "it has two frame headers"));
                    }
                    0xc0..=0xcf => frame = Some(parse_frame(marker, segment)?),
                    0xda => scans += 1,
                    0xf7 => return Err(unsupported("JPEG-LS".to_string())),
                    _ => {}
                }
                after
            }
        };
    };
    match frame {
        Some(frame) if scans > 0 => Ok(Skeleton { frame, end }),
        _ => Err(malformed(Format::Jpeg, "it holds no picture")),
    }
}

/// The next marker and what follows it. Stuffed zeros, restart markers and fill bytes of the entropy-coded data are
/// skipped, so that the same search serves between segments and inside a scan.
fn next_marker(mut rest: &[u8]) -> Result<(u8, &[u8])> {
    loop {
        let at = rest.iter().position(|&b| b == 0xff).ok_or_else(|| truncated(Format::Jpeg))?;
        rest = &rest[at + 1..];
        match rest.split_first() {
            None => return Err(truncated(Format::Jpeg)),
            Some((0x00 | 0xd0..=0xd7, after)) => rest = after,
            Some((0xff, _)) => {}
            Some((&marker, after)) => return Ok((marker, after)),
        }
    }
}

/// Splits off a segment: its data without the length, and what follows.
fn segment(rest: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, _) = rest.split_first_chunk::<2>().ok_or_else(|| truncated(Format::Jpeg))?;
    let length = usize::from(u16::from_be_bytes(*length));
    if length < 2 {
        return Err(malformed(Format::Jpeg, "a segment is shorter than its own length field"));
    }
    let (segment, after) = rest.split_at_checked(length).ok_or_else(|| truncated(Format::Jpeg))?;
    Ok((&segment[2..], after))
}

fn parse_frame(marker: u8, segment: &[u8]) -> Result<Frame> {
    let kind = match marker {
        0xc0..=0xc2 => None,
        0xc3 => Some("lossless coding"),
        0xc9..=0xcf => Some("arithmetic coding"),
        _ => Some("hierarchical coding"),
    };
    if let Some(kind) = kind {
        return Err(unsupported(kind.to_string()));
    }
    let Some(&[precision, h0, h1, w0, w1, components]) = segment.first_chunk::<6>() else {
        return Err(malformed(Format::Jpeg, "its frame header is too short"));
    };
    if precision != 8 {
        return Err(unsupported(format!("{precision} bits a sample")));
    }
    let (width, height) = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
    Ok(Frame { width, height, components, progressive: marker == 0xc2 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const SOF: [u8; 13] = [0xff, 0xc0, 0, 11, 8, 0, 2, 0, 3, 1, 1, 0x11, 0];
    const SOS: [u8; 10] = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0];

    fn file(parts: &[&[u8]]) -> Vec<u8> {
        [&[0xff, 0xd8][..], &parts.concat()].concat()
    }

    #[test]
    fn finds_the_frame_and_the_end() {
        // An EOI inside a segment (a thumbnail) is not the end; stuffing, restarts and fill bytes are data.
        let app = [0xff, 0xe1, 0, 6, 0xff, 0xd8, 0xff, 0xd9];
        let data = [1, 0xff, 0, 2, 0xff, 0xd0, 3, 0xff, 0xff, 0xd9];
        let bytes = file(&[&app, &SOF, &SOS, &data, b"trailing"]);
        let end = bytes.len() - b"trailing".len();
        let frame = Frame { width: 3, height: 2, components: 1, progressive: false };
        assert_eq!(walk(&bytes).unwrap(), Skeleton { frame, end: end - 2 });
        assert!(walk(&bytes[..end]).is_ok());
        for cut in 2..end {
            assert_eq!(walk(&bytes[..cut]).unwrap_err().kind(), ErrorKind::Malformed, "{cut}");
        }
    }

    #[test]
    fn refuses_what_is_not_read() {
        let eoi = [0xff, 0xd9];
        let mut lossless = SOF;
        lossless[1] = 0xc3;
        let mut twelve = SOF;
        twelve[4] = 12;
        for sof in [lossless, twelve] {
            assert_eq!(walk(&file(&[&sof, &SOS, &eoi])).unwrap_err().kind(), ErrorKind::UnsupportedFormat);
        }
        for parts in [&[&SOF[..], &SOF, &SOS, &eoi][..], &[&SOF, &eoi], &[&SOS, &eoi], &[&eoi]] {
            assert_eq!(walk(&file(parts)).unwrap_err().kind(), ErrorKind::Malformed);
        }
    }
}
