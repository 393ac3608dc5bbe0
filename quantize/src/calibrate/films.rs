//! Which films calibrate, and their pixels.

use std::path::{Path, PathBuf};

use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::{Dataset, Split};
use rad_dino_train::features::film;
use rayon::prelude::*;

/// Positions of at most `count` films of val (of train where there is no val), the sources in turn, evenly spaced within a
/// source. Test films never calibrate.
pub(crate) fn choose(dataset: &Dataset, count: usize) -> Vec<usize> {
    let of = |split| dataset.of_split(split);
    let films = Some(of(Split::Val)).filter(|films| !films.is_empty()).unwrap_or_else(|| of(Split::Train));
    let sources: Vec<Vec<usize>> = dataset
        .sources()
        .into_iter()
        .map(|s| films.iter().copied().filter(|&i| dataset.films[i].row.source == s).collect::<Vec<_>>())
        .filter(|films| !films.is_empty())
        .collect();
    let mut shares = vec![0usize; sources.len()];
    let mut left = count.min(films.len());
    while left > 0 {
        for (share, films) in shares.iter_mut().zip(&sources) {
            if left > 0 && *share < films.len() {
                *share += 1;
                left -= 1;
            }
        }
    }
    let spread = |(films, share): (&Vec<usize>, usize)| -> Vec<usize> {
        (0..share).map(|i| films[i * films.len() / share]).collect()
    };
    sources.iter().zip(shares).flat_map(spread).collect()
}

/// Pixel values [3, S, S] of each film; those that cannot be read are told to `skipped`.
///
/// # Errors
/// When none is left.
pub(crate) fn pixels(
    dataset: &Dataset,
    films: &[usize],
    preprocessing: &Preprocessing,
    mut skipped: impl FnMut(&Path, &Error),
) -> Result<Vec<Vec<f32>>> {
    let paths: Vec<PathBuf> = films.iter().map(|&i| dataset.films[i].path.clone()).collect();
    let limits = Limits::default();
    let read: Vec<_> = paths.par_iter().map(|path| film::prepare(path, &limits, preprocessing)).collect();
    let mut pixels = Vec::with_capacity(read.len());
    for (path, film) in paths.iter().zip(read) {
        match film {
            Ok(values) => pixels.push(values),
            Err(error) => skipped(path, &error),
        }
    }
    if pixels.is_empty() {
        return Err(Error::new(ErrorKind::Data, "no film of split val or train could be read")
            .hint("calibration needs films; check the manifest's split and file columns"));
    }
    Ok(pixels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rad_dino_train::data::Manifest;

    #[test]
    fn sources_take_turns_and_test_stays_out() {
        let mut csv = String::from("file,source,split\n");
        for i in 0..40 {
            csv += &format!("{i},{},{}\n", ["A", "B"][usize::from(i >= 30)], ["train", "val", "test", "val"][i % 4]);
        }
        let dataset = Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()]);
        let films = choose(&dataset, 12);
        assert_eq!(films.len(), 12);
        assert_eq!(films.iter().filter(|i| **i >= 30).count(), 5, "all that B has");
        assert!(films.iter().all(|i| dataset.films[*i].row.split() == Split::Val));
        assert_eq!(choose(&dataset, 100).len(), 20);
    }
}
