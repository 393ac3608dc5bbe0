//! What a model file says of films.

use std::path::Path;

use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::Dataset;
use rad_dino_train::features::{Encoder, FeatureSource};
use rad_dino_train::linalg::Matrix;
use rayon::prelude::*;

/// Features of all films that can be read, and how many cannot; those leave the dataset and are told to `skipped`.
///
/// # Errors
/// When the encoder fails, or no film is left.
pub(crate) fn features(
    encoder: &Encoder,
    dataset: &mut Dataset,
    mut progress: impl FnMut(usize, usize),
    mut skipped: impl FnMut(&Path, &Error),
) -> Result<(Matrix, usize)> {
    const BATCH: usize = 16;
    let all = dataset.films.len();
    let mut features = Matrix::zeros(0, encoder.width());
    let mut kept = Vec::with_capacity(all);
    for films in dataset.films.chunks(BATCH) {
        let prepared: Vec<_> = films.par_iter().map(|film| encoder.prepare(&film.path)).collect();
        for (film, pixels) in films.iter().zip(prepared) {
            match pixels {
                Ok(pixels) => {
                    features.values.extend(encoder.features(&pixels, 1)?);
                    features.rows += 1;
                    kept.push(true);
                }
                Err(error) => {
                    skipped(&film.path, &error);
                    kept.push(false);
                }
            }
        }
        progress(kept.len(), all);
    }
    if features.rows == 0 {
        return Err(
            Error::new(ErrorKind::Data, "no film could be read").hint("check the manifest's file and split columns")
        );
    }
    let mut at = kept.into_iter();
    dataset.retain(|_| at.next().unwrap_or(false));
    Ok((features, all - dataset.films.len()))
}
