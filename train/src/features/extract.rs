//! Features of many films: what the cache knows is not computed again, films are decoded ahead of the encoder.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rad_dino_edge::{Error, Result};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::FeatureSource;
use super::cache::{Cache, FilmHash};
use crate::linalg::Matrix;

/// Films per run of the encoder.
const BATCH: usize = 16;
/// Batches decoded ahead.
const AHEAD: usize = 4;
/// Films between two writes of the cache.
const SAVE_EVERY: usize = 2048;

/// Features of films, and the films that failed.
#[derive(Debug)]
pub struct Extracted {
    /// Positions (in what was asked for) of the films that have features, rising.
    pub kept: Vec<usize>,
    /// Their features [kept, width].
    pub features: Matrix,
    /// Positions and errors of the films that have none.
    pub failed: Vec<(usize, Error)>,
}

/// Computes the features of `films`, reading and extending the cache in `folder`. `label` names the progress bar,
/// which is hidden when `quiet` or when stderr is no terminal.
///
/// # Errors
/// When the encoder fails or the cache cannot be written; a bad film costs only itself.
pub fn extract(
    source: &dyn FeatureSource,
    films: &[PathBuf],
    folder: &Path,
    label: &str,
    quiet: bool,
) -> Result<Extracted> {
    let width = source.width();
    let hashes: Vec<Result<FilmHash>> = films.par_iter().map(|film| hash(film)).collect();
    let mut cache = Cache::open(folder, source.key(), width);
    let mut seen = HashSet::new();
    let missing: Vec<usize> = (0..films.len())
        .filter(|&i| matches!(&hashes[i], Ok(hash) if cache.get(hash).is_none() && seen.insert(*hash)))
        .collect();
    let mut failed: Vec<(FilmHash, Error)> = Vec::new();
    if !missing.is_empty() {
        let bar = progress(missing.len(), label, quiet);
        let mut unsaved = 0;
        decode_ahead(source, films, &missing, |batch| {
            let mut good = Vec::with_capacity(BATCH);
            let mut pixels = Vec::new();
            for (film, prepared) in batch {
                let Ok(hash) = &hashes[film] else { continue };
                match prepared {
                    Ok(values) => {
                        good.push(*hash);
                        pixels.extend(values);
                    }
                    Err(error) => failed.push((*hash, error)),
                }
                bar.inc(1);
            }
            if good.is_empty() {
                return Ok(());
            }
            let features = source.features(&pixels, good.len())?;
            for (hash, row) in good.into_iter().zip(features.chunks_exact(width)) {
                cache.insert(hash, row);
                unsaved += 1;
            }
            if unsaved >= SAVE_EVERY {
                unsaved = 0;
                cache.save()?;
            }
            Ok(())
        })?;
        bar.finish_and_clear();
        cache.save()?;
    }
    Ok(collect(&cache, hashes, failed, width))
}

/// Runs `consume` on batches of prepared films, in order, while the next ones are being decoded.
fn decode_ahead(
    source: &dyn FeatureSource,
    films: &[PathBuf],
    wanted: &[usize],
    mut consume: impl FnMut(Vec<(usize, Result<Vec<f32>>)>) -> Result<()>,
) -> Result<()> {
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for batch in wanted.chunks(BATCH) {
                let prepared = batch.par_iter().map(|&film| (film, source.prepare(&films[film]))).collect();
                if sender.send(prepared).is_err() {
                    break;
                }
            }
        });
        receiver.into_iter().try_for_each(&mut consume)
    })
}

fn collect(cache: &Cache, hashes: Vec<Result<FilmHash>>, failed: Vec<(FilmHash, Error)>, width: usize) -> Extracted {
    let mut out = Extracted { kept: Vec::new(), features: Matrix::zeros(0, width), failed: Vec::new() };
    let mut failed = failed.into_iter().collect::<std::collections::HashMap<_, _>>();
    for (i, hash) in hashes.into_iter().enumerate() {
        match hash {
            Err(error) => out.failed.push((i, error)),
            Ok(hash) => match cache.get(&hash) {
                Some(row) => {
                    out.kept.push(i);
                    out.features.values.extend_from_slice(row);
                    out.features.rows += 1;
                }
                None => {
                    let again =
                        || Error::new(rad_dino_edge::ErrorKind::Malformed, "the same bytes as a film that failed");
                    out.failed.push((i, failed.remove(&hash).unwrap_or_else(again)));
                }
            },
        }
    }
    out
}

/// sha256 of a file, read piece by piece.
fn hash(path: &Path) -> Result<FilmHash> {
    let io = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let mut digest = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(io)? {
            0 => return Ok(digest.finalize().into()),
            n => digest.update(&piece[..n]),
        }
    }
}

/// A bar over films on stderr, hidden when `quiet`.
pub(crate) fn progress(films: usize, label: &str, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(films as u64), target);
    let style = ProgressStyle::with_template("{prefix} {bar:40} {pos}/{len} films, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix(label.to_owned());
    bar
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use rad_dino_edge::ErrorKind;

    use super::*;

    /// Features of a film are its first byte and its length; empty films are refused.
    struct Fake {
        films: AtomicUsize,
    }

    impl FeatureSource for Fake {
        fn key(&self) -> &str {
            "fake"
        }
        fn width(&self) -> usize {
            2
        }
        fn prepare(&self, film: &Path) -> Result<Vec<f32>> {
            let bytes = std::fs::read(film).map_err(|e| Error::io(film, e))?;
            let first = bytes.first().ok_or_else(|| Error::new(ErrorKind::Malformed, "empty").at(film.display()))?;
            Ok(vec![f32::from(*first), bytes.len() as f32])
        }
        fn features(&self, prepared: &[f32], n: usize) -> Result<Vec<f32>> {
            assert_eq!(prepared.len(), 2 * n);
            self.films.fetch_add(n, Ordering::Relaxed);
            Ok(prepared.to_vec())
        }
    }

    #[test]
    fn films_are_computed_once_and_bad_ones_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let film = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let mut films: Vec<PathBuf> = (0..40u8).map(|i| film(&format!("{i}"), &vec![i; usize::from(i) + 1])).collect();
        films.insert(3, film("empty", b""));
        films.insert(7, dir.path().join("absent"));
        films.push(films[0].clone());
        let source = Fake { films: AtomicUsize::new(0) };
        let cache = dir.path().join("cache");
        let out = extract(&source, &films, &cache, "fake", true).unwrap();
        assert_eq!(source.films.load(Ordering::Relaxed), 40, "the film that is there twice is computed once");
        assert_eq!(
            out.failed.iter().map(|(i, e)| (*i, e.kind())).collect::<Vec<_>>(),
            [(3, ErrorKind::Malformed), (7, ErrorKind::Io)]
        );
        assert_eq!((out.kept.len(), out.features.rows), (41, 41));
        assert_eq!((out.features.row(3), out.features.row(40)), (&[3.0, 4.0][..], &[0.0, 1.0][..]));
        let again = extract(&source, &films, &cache, "fake", true).unwrap();
        assert_eq!(source.films.load(Ordering::Relaxed), 40);
        assert_eq!(again.features, out.features);
    }
}
