//! Many films in one memory-mapped file, so that a million films don't mean a million opens.
//!
//! Grey pixels of all films, one after the other; then a table of 24 bytes a film (offset u64, width u32, height u32,
//! split u8, 7 zeros); then a footer of 24 bytes (offset of the table u64, films u64, [`MAGIC`]). Little-endian.

use std::io::Write;
use std::path::Path;

use rad_dino_edge::output::write;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_kernels::map::MappedFile;

use super::augment::Film;
use super::row::Split;
use crate::ssl::multi_crop::Rectangle;

/// The last 8 bytes of a packed file.
pub const MAGIC: &[u8; 8] = b"RDPACK01";
const ENTRY: usize = 24;
const SPLITS: [Split; 3] = [Split::Train, Split::Val, Split::Test];

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: usize,
    width: usize,
    height: usize,
    split: Split,
}

/// A packed file, mapped and checked.
#[derive(Debug)]
pub struct Pack {
    map: MappedFile,
    entries: Vec<Entry>,
}

impl Pack {
    /// Maps `path` and checks its table.
    ///
    /// # Errors
    /// `Io` when it cannot be mapped, `Malformed` when it is no packed file or its table points outside of it.
    pub fn open(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        let entries = entries(&map).ok_or_else(|| {
            Error::new(ErrorKind::Malformed, format!("{}: not a whole packed file", path.display()))
                .hint("make it again with rad-dino-train pack")
        })?;
        Ok(Pack { map, entries })
    }

    /// Films.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The split of the i-th film.
    pub fn split(&self, i: usize) -> Option<Split> {
        self.entries.get(i).map(|entry| entry.split)
    }

    /// The i-th film.
    ///
    /// # Errors
    /// `Internal` when there is no such film.
    pub fn film(&self, i: usize) -> Result<Film> {
        let found = self.entries.get(i).and_then(|entry| {
            let pixels = self.map.get(entry.offset..entry.offset + entry.width * entry.height)?;
            let grey = pixels.iter().map(|&v| f32::from(v) / 255.0).collect();
            Some(Film { width: entry.width, height: entry.height, grey })
        });
        found.ok_or_else(|| Error::new(ErrorKind::Internal, format!("no packed film {i}")))
    }
}

/// None unless every film lies inside the file, before the table.
fn entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let body = bytes.len().checked_sub(24)?;
    let (table, count) = (number(bytes, body)?, number(bytes, body + 8)?);
    if bytes.get(body + 16..)? != MAGIC || count.checked_mul(ENTRY)?.checked_add(table)? != body {
        return None;
    }
    let rows = bytes.get(table..body)?.chunks_exact(ENTRY);
    rows.map(|row| {
        let half = |at: usize| Some(u32::from_le_bytes(row.get(at..at + 4)?.try_into().ok()?) as usize);
        let entry = Entry {
            offset: number(row, 0)?,
            width: half(8)?,
            height: half(12)?,
            split: *SPLITS.get(usize::from(*row.get(16)?))?,
        };
        let size = entry.width.checked_mul(entry.height)?;
        (size > 0 && entry.offset.checked_add(size)? <= table).then_some(entry)
    })
    .collect()
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let eight = bytes.get(at..at.checked_add(8)?)?.try_into().ok()?;
    usize::try_from(u64::from_le_bytes(eight)).ok()
}

/// Writes `films` to `path`, whole or not at all; a film whose shortest side is above `side` is shrunk to it.
/// Returns how many were written. Films that fail go to `bad` and are left out.
///
/// # Errors
/// `Io` when writing fails.
pub fn write(
    path: &Path,
    films: impl Iterator<Item = (Result<Film>, Split)>,
    side: usize,
    mut bad: impl FnMut(Error),
) -> Result<usize> {
    let mut count = 0;
    write::atomic(path, |out| {
        let mut table = Vec::new();
        let mut offset = 0u64;
        for (film, split) in films {
            let film = match film {
                Ok(film) => shrink(film, side),
                Err(error) => {
                    bad(error);
                    continue;
                }
            };
            let pixels: Vec<u8> = film.grey.iter().map(|v| (v * 255.0).round() as u8).collect();
            out.write_all(&pixels)?;
            table.extend(offset.to_le_bytes());
            table.extend((film.width as u32).to_le_bytes());
            table.extend((film.height as u32).to_le_bytes());
            table.extend([split as u8, 0, 0, 0, 0, 0, 0, 0]);
            offset += pixels.len() as u64;
            count += 1;
        }
        table.extend(offset.to_le_bytes());
        table.extend((count as u64).to_le_bytes());
        table.extend(MAGIC);
        Write::write_all(out, &table)
    })?;
    Ok(count)
}

fn shrink(film: Film, side: usize) -> Film {
    let shortest = film.width.min(film.height);
    if shortest <= side {
        return film;
    }
    let scaled = |length: usize| (length as f64 * side as f64 / shortest as f64).round().max(1.0) as usize;
    let (width, height) = (scaled(film.width), scaled(film.height));
    let whole = Rectangle { left: 0, top: 0, width: film.width, height: film.height };
    Film { width, height, grey: film.resize(whole, width, height) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(width: usize, height: usize) -> Film {
        Film { width, height, grey: (0..width * height).map(|i| (i % 256) as f32 / 255.0).collect() }
    }

    #[test]
    fn films_come_back_and_large_ones_are_shrunk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pack");
        let broken = || Err(Error::new(ErrorKind::Malformed, "b.png: broken"));
        let films = vec![(Ok(film(20, 30)), Split::Val), (broken(), Split::Train), (Ok(film(80, 64)), Split::Train)];
        let mut bad = Vec::new();
        assert_eq!(write(&path, films.into_iter(), 32, |e| bad.push(e)).unwrap(), 2);
        assert_eq!(bad.len(), 1);
        let pack = Pack::open(&path).unwrap();
        assert_eq!((pack.len(), pack.split(0), pack.split(1)), (2, Some(Split::Val), Some(Split::Train)));
        let first = pack.film(0).unwrap();
        assert!(first.grey.iter().zip(film(20, 30).grey).all(|(a, b)| (a - b).abs() < 1e-6));
        let second = pack.film(1).unwrap();
        assert_eq!((second.width, second.height, second.grey.len()), (40, 32, 1280));
        assert!(pack.film(2).is_err());
    }

    #[test]
    fn damage_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.pack");
        write(&path, [(Ok(film(8, 8)), Split::Train)].into_iter(), 8, |_| ()).unwrap();
        let good = std::fs::read(&path).unwrap();
        assert!(entries(&good).is_some());
        for cut in 0..good.len() {
            assert!(entries(&good[..cut]).is_none(), "{cut}");
        }
        for at in 64..good.len() {
            for bit in [1u8, 0x80] {
                let mut bytes = good.clone();
                bytes[at] ^= bit;
                // never outside the file, whatever the table says
                for entry in entries(&bytes).unwrap_or_default() {
                    assert!(entry.offset + entry.width * entry.height <= good.len());
                }
            }
        }
    }
}
