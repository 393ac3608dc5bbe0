//! Features that were computed once, by film.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rad_dino_edge::{Error, ErrorKind, Result};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::files;

/// sha256 of a film's bytes.
pub type FilmHash = [u8; 32];

/// One file, `<key>.safetensors`: `films` u8 [N, 32], the sha256 of each film, and `features` f32 [N, width].
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    width: usize,
    hashes: Vec<FilmHash>,
    values: Vec<f32>,
    index: HashMap<FilmHash, usize>,
}

impl Cache {
    /// The cache of `key` in `folder`; empty when there is no such file yet, or when it cannot be read (it is then
    /// written anew).
    pub fn open(folder: &Path, key: &str, width: usize) -> Self {
        let path = folder.join(format!("{key}.safetensors"));
        let (hashes, values) = std::fs::read(&path).ok().and_then(|b| parse(&b, width)).unwrap_or_default();
        let index = hashes.iter().enumerate().map(|(i, hash)| (*hash, i)).collect();
        Cache { path, width, hashes, values, index }
    }

    /// The features of a film.
    pub fn get(&self, film: &FilmHash) -> Option<&[f32]> {
        let at = *self.index.get(film)?;
        Some(&self.values[at * self.width..(at + 1) * self.width])
    }

    /// Adds a film; `features` is [width].
    pub fn insert(&mut self, film: FilmHash, features: &[f32]) {
        if self.index.insert(film, self.hashes.len()).is_none() {
            self.hashes.push(film);
            self.values.extend_from_slice(features);
        }
    }

    /// Writes the file.
    pub fn save(&self) -> Result<()> {
        let internal = |e: safetensors::SafeTensorError| {
            Error::new(ErrorKind::Internal, format!("{}: {e}", self.path.display())).source(e)
        };
        let n = self.hashes.len();
        let values: Vec<u8> = self.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let films = TensorView::new(Dtype::U8, vec![n, 32], self.hashes.as_flattened()).map_err(internal)?;
        let features = TensorView::new(Dtype::F32, vec![n, self.width], &values).map_err(internal)?;
        let bytes = safetensors::serialize([("films", films), ("features", features)], None).map_err(internal)?;
        files::write(&self.path, &bytes)
    }
}

/// Hashes and values; None for anything but what [`Cache::save`] writes for this width.
fn parse(bytes: &[u8], width: usize) -> Option<(Vec<FilmHash>, Vec<f32>)> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let (films, features) = (file.tensor("films").ok()?, file.tensor("features").ok()?);
    let n = *films.shape().first()?;
    let fits = films.dtype() == Dtype::U8
        && films.shape() == [n, 32]
        && features.dtype() == Dtype::F32
        && features.shape() == [n, width];
    if !fits {
        return None;
    }
    let (hashes, _) = films.data().as_chunks::<32>();
    let (values, _) = features.data().as_chunks::<4>();
    Some((hashes.to_vec(), values.iter().map(|b| f32::from_le_bytes(*b)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_films_across_runs() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(dir.path(), "k", 2);
        cache.insert([1; 32], &[0.5, -1.0]);
        cache.insert([2; 32], &[3.0, 4.0]);
        cache.insert([1; 32], &[9.0, 9.0]);
        cache.save().unwrap();
        let again = Cache::open(dir.path(), "k", 2);
        assert_eq!(again.get(&[2; 32]), Some(&[3.0, 4.0][..]));
        assert_eq!(again.get(&[3; 32]), None);
        assert!(Cache::open(dir.path(), "k", 3).get(&[2; 32]).is_none(), "another width is another encoder");
    }

    #[test]
    fn a_broken_file_is_an_empty_cache() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("k.safetensors"), b"\x10\0\0\0\0\0\0\0{").unwrap();
        assert!(Cache::open(dir.path(), "k", 2).get(&[1; 32]).is_none());
    }
}
