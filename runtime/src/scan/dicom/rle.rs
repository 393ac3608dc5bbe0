//! RLE Lossless (PS3.5, annex G): PackBits, the high bytes of all pixels before the low ones.

use super::attributes::Attributes;
use super::malformed;
use crate::Result;

const HEADER: usize = 64;

/// Allocated words, row-major.
pub(super) fn decode(frame: &[u8], attributes: &Attributes) -> Result<Vec<u16>> {
    let mut words = vec![0u16; attributes.pixels()];
    for segment in segments(frame, attributes.bytes_per_sample())? {
        unpack(segment, &mut words)?;
    }
    Ok(words)
}

/// Planes of `pixels` 8-bit samples each.
pub(super) fn planes(frame: &[u8], pixels: usize, count: usize) -> Result<Vec<Vec<u8>>> {
    let planes = segments(frame, count)?.into_iter().map(|segment| {
        let mut words = vec![0u16; pixels];
        unpack(segment, &mut words)?;
        Ok(words.into_iter().map(|word| word as u8).collect())
    });
    planes.collect()
}

/// The frame's segments, of which there must be `count`.
fn segments(frame: &[u8], count: usize) -> Result<Vec<&[u8]>> {
    let header = frame.first_chunk::<HEADER>().ok_or_else(|| malformed("its RLE header is truncated"))?;
    let mut fields = header.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b) as usize);
    if fields.next() != Some(count) {
        return Err(malformed("its number of RLE segments does not fit its bits allocated"));
    }
    let starts: Vec<usize> = fields.take(count).collect();
    let segments = starts.iter().enumerate().map(|(index, &start)| {
        let end = starts.get(index + 1).copied().unwrap_or(frame.len());
        let segment = frame.get(start..end).filter(|_| start >= HEADER);
        segment.ok_or_else(|| malformed("its RLE segments lie outside the frame"))
    });
    segments.collect()
}

/// Shifts one byte into every word. Bytes beyond the last word are padding.
fn unpack(mut segment: &[u8], words: &mut [u16]) -> Result<()> {
    let short = || malformed("its RLE data are truncated");
    let mut words = words.iter_mut();
    while words.len() > 0 {
        let (&control, after) = segment.split_first().ok_or_else(short)?;
        segment = match control {
            0..=127 => {
                let count = (usize::from(control) + 1).min(words.len());
                let (literal, after) = after.split_at_checked(count).ok_or_else(short)?;
                words.by_ref().zip(literal).for_each(|(word, &byte)| *word = *word << 8 | u16::from(byte));
                after
            }
            128 => after,
            129.. => {
                let (&byte, after) = after.split_first().ok_or_else(short)?;
                let run = words.by_ref().take(257 - usize::from(control));
                run.for_each(|word| *word = *word << 8 | u16::from(byte));
                after
            }
        };
    }
    Ok(())
}
