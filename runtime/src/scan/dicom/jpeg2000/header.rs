//! What a JPEG 2000 stream's headers say, and what its decoder would build from them before it sees any data (ISO 15444-1,
//! annex A).

use super::super::{malformed, unsupported};
use crate::Result;

/// Start of codestream, then the size segment (SIZ), which must come first.
const START: &[u8] = b"\xff\x4f\xff\x51";
/// A tile's tables take some 7 kB: one is for this many pixels at least, on average.
const TILE: u64 = 1024;
/// Tiles that a picture of any size may have.
const TILES: u64 = 64;
/// log₂ of the pixels of a code-block and of a precinct: one takes some 1 kB.
const BLOCK: u8 = 6;
/// Entries of the table of packets, beyond one a pixel.
const PACKETS: u64 = 1 << 18;

const COD: u8 = 0x52;
const COC: u8 = 0x53;
const SOT: u8 = 0x90;
const SOD: u8 = 0x93;
const EOC: u8 = 0xd9;

/// The size segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub width: u32,
    pub height: u32,
    pub components: u16,
    tiles: u64,
}

impl Size {
    /// From a bare codestream, as the standard has it; in a JP2 file it is not looked for.
    pub fn of(frame: &[u8]) -> Option<Size> {
        let segment = frame.strip_prefix(START)?.get(4..)?;
        let field = |at: usize| Some(u32::from_be_bytes(*segment.get(4 * at..)?.first_chunk()?));
        let components = u16::from_be_bytes(*segment.get(32..)?.first_chunk()?);
        let (width, height) = (field(0)?.checked_sub(field(2)?)?, field(1)?.checked_sub(field(3)?)?);
        // from the tiles' own origin to the far edge
        let tiles = |far: u32, origin: u32, side: u32| Some(u64::from(far.checked_sub(origin)?.div_ceil(side.max(1))));
        let tiles = tiles(field(0)?, field(6)?, field(4)?)?.saturating_mul(tiles(field(1)?, field(7)?, field(5)?)?);
        Some(Size { width, height, components, tiles })
    }

    fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// Refuses a stream that cuts its picture into so many parts that their tables would outweigh it.
    pub fn check_cost(&self, frame: &[u8]) -> Result<()> {
        if self.tiles > TILES + self.pixels() / TILE {
            return Err(unsupported(format_args!("its JPEG 2000 stream has {} tiles", self.tiles)));
        }
        self.walk(frame).ok_or_else(|| malformed("its JPEG 2000 stream is damaged or truncated"))?
    }

    /// Segment after segment, in the main header and in those of the tiles' parts. None where they break off.
    fn walk(&self, frame: &[u8]) -> Option<Result<()>> {
        let mut rest = frame.get(2..)?;
        let mut next_part = None;
        loop {
            // a stream may end without its end marker
            if rest.is_empty() || rest.starts_with(&[0xff, EOC]) {
                return Some(Ok(()));
            }
            let (&[0xff, marker, high, low], _) = rest.split_first_chunk()? else { return None };
            if marker == SOD {
                rest = next_part.take()?;
                continue;
            }
            let length = usize::from(u16::from_be_bytes([high, low]));
            let segment = rest.get(4..2 + length)?;
            match marker {
                SOT => {
                    let length = usize::try_from(u32::from_be_bytes(*segment.get(2..)?.first_chunk()?)).ok()?;
                    // 0: the last part, which goes on to the end
                    next_part = Some(if length == 0 { &[][..] } else { rest.get(length.max(14)..)? });
                }
                COD => {
                    let (&[style, _, layers_0, layers_1, _], coding) = segment.split_first_chunk()?;
                    let layers = u64::from(u16::from_be_bytes([layers_0, layers_1]));
                    if let Err(error) = self.check_coding(style, Some(layers), coding)? {
                        return Some(Err(error));
                    }
                }
                COC => {
                    let (&[_, style], coding) = segment.split_first_chunk()?;
                    if let Err(error) = self.check_coding(style, None, coding)? {
                        return Some(Err(error));
                    }
                }
                _ => {}
            }
            rest = rest.get(2 + length..)?;
        }
    }

    /// `coding`: levels, log₂ of a code-block's sides less 2, two bytes, and where `style` says so log₂ of the sides of each
    /// level's precincts. None when it is too short. COC takes its layers from COD; a number that no real stream has
    /// stands for them.
    fn check_coding(&self, style: u8, layers: Option<u64>, coding: &[u8]) -> Option<Result<()>> {
        let (&[levels, block_x, block_y, _, _], precincts) = coding.split_first_chunk()?;
        let levels = usize::from(levels);
        let precincts = if style & 1 == 1 { precincts.get(..=levels)? } else { &[] };
        let (block_x, block_y) = (block_x.saturating_add(2), block_y.saturating_add(2));
        let (mut least_x, mut least_y) = (15, 15);
        for sides in precincts {
            least_x = least_x.min(sides & 15);
            least_y = least_y.min(sides >> 4);
        }
        if block_x.min(least_x).saturating_add(block_y.min(least_y)) < BLOCK {
            return Some(Err(unsupported("its JPEG 2000 stream is cut into code-blocks of a few pixels")));
        }
        let across = |side: u32, log: u8| u64::from(side >> log) + 2;
        let precincts = across(self.width, least_x).saturating_mul(across(self.height, least_y));
        let packets = precincts.saturating_mul(levels as u64 + 1).saturating_mul(layers.unwrap_or(64) + 1);
        if packets > PACKETS.saturating_add(self.pixels()) {
            return Some(Err(unsupported("its JPEG 2000 stream is cut into too many packets")));
        }
        Some(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    /// A stream of one tile part of `side`² pixels in tiles of `tile`², its coding style `cod`.
    fn stream(side: u32, tile: u32, cod: &[u8], tail: &[u8]) -> Vec<u8> {
        let mut bytes = [START, b"\0\x29\0\0"].concat();
        for field in [side, side, 0, 0, tile, tile, 0, 0] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(b"\0\x01\x0b\x01\x01\xff\x52");
        bytes.extend((cod.len() as u16 + 2).to_be_bytes());
        bytes.extend(cod);
        bytes.extend(b"\xff\x5c\0\x04\x40\x60\xff\x90\0\x0a\0\0\0\0\0\0\0\x01");
        bytes.extend(tail);
        bytes
    }

    fn cost(frame: &[u8]) -> Result<()> {
        Size::of(frame).unwrap().check_cost(frame)
    }

    const ONE: &[u8] = b"\0\0\0\x01\0\0\x04\x04\0\x01";

    #[test]
    fn ordinary_streams_cost_little() {
        let precincts = b"\x01\0\0\x14\0\x02\x04\x04\0\x01\x77\x88\x88";
        for (side, tile, cod) in [(3, 3, ONE), (4_000, 512, ONE), (4_000, 4_000, precincts)] {
            cost(&stream(side, tile, cod, b"\xff\x93data")).unwrap();
        }
        let stream = std::fs::read("../tests/reference/data/codestreams/grey_12_bits.j2k").unwrap();
        cost(&stream).unwrap();
        cost(&[&stream[..], &[0]].concat()).unwrap();
    }

    #[test]
    fn what_is_cut_too_small_is_refused() {
        let tiny_precincts = b"\x01\0\0\x01\0\0\x04\x04\0\x01\0";
        let flat_blocks = b"\x01\0\0\x01\0\0\0\x08\0\x01\x0f";
        let tiny_blocks = b"\0\0\0\x01\0\0\0\0\0\x01";
        let layers = b"\0\0\xff\xff\0\x20\x04\x04\0\x01";
        for (tile, cod) in [(1, ONE), (256, tiny_precincts), (256, flat_blocks), (256, tiny_blocks), (256, layers)] {
            let error = cost(&stream(256, tile, cod, b"\xff\x93data")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedFormat, "{error}");
        }
        // in a tile's own header, too
        let tail = [b"\xff\x52\0\x0d", &tiny_precincts[..], b"\xff\x93data"].concat();
        assert_eq!(cost(&stream(256, 256, ONE, &tail)).unwrap_err().kind(), ErrorKind::UnsupportedFormat);
        let whole = stream(256, 256, ONE, b"\xff\x93data");
        for cut in [50, 60, 70, whole.len() - 7] {
            assert!(cost(&whole[..cut]).is_err(), "{cut}");
        }
    }
}
