//! Both models over the films.

use std::path::Path;

use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::Dataset;
use rad_dino_train::features::{Encoder, FeatureSource};
use rad_dino_train::linalg::Matrix;
use rayon::prelude::*;

use super::report::Likeness;
use crate::calibrate::cosine;

/// Films decoded at a time.
const BATCH: usize = 16;

/// What both models gave.
pub(super) struct Seen {
    /// Features and outputs of the reference, a row a film left in the dataset.
    pub reference: Matrix,
    /// Of the candidate.
    pub candidate: Matrix,
    /// How alike the tokens are.
    pub likeness: Likeness,
    /// Films that could not be read.
    pub failed: usize,
    /// Pixels of the first film for the reference and the candidate.
    pub first: (Vec<f32>, Vec<f32>),
}

/// Runs `a` and `b` on the films of `dataset`, from which those that cannot be read are taken.
pub(super) fn run(
    a: &Encoder,
    b: &Encoder,
    dataset: &mut Dataset,
    mut progress: impl FnMut(usize, usize),
    skipped: &mut impl FnMut(&Path, &Error),
) -> Result<Seen> {
    let all = dataset.films.len();
    let shared = a.preprocessing() == b.preprocessing();
    let mut seen = Seen {
        reference: Matrix::zeros(0, a.width()),
        candidate: Matrix::zeros(0, b.width()),
        likeness: Likeness::default(),
        failed: 0,
        first: Default::default(),
    };
    let mut kept = Vec::with_capacity(all);
    let mut cls = Vec::with_capacity(all);
    let mut patches = Vec::with_capacity(all);
    for films in dataset.films.chunks(BATCH) {
        let prepared: Vec<_> = films
            .par_iter()
            .map(|film| {
                let pixels = a.prepare(&film.path)?;
                let other = if shared { None } else { Some(b.prepare(&film.path)?) };
                Ok((pixels, other))
            })
            .collect::<Vec<Result<_>>>();
        for (film, prepared) in films.iter().zip(prepared) {
            progress(kept.len(), all);
            let (pixels, other) = match prepared {
                Ok(pixels) => pixels,
                Err(error) => {
                    skipped(&film.path, &error);
                    kept.push(false);
                    seen.failed += 1;
                    continue;
                }
            };
            kept.push(true);
            let other = other.unwrap_or_else(|| pixels.clone());
            let (run_a, run_b) = (a.engine().run(&pixels, 1)?, b.engine().run(&other, 1)?);
            push(&mut seen.reference, a.features_of(&run_a, 1)?);
            push(&mut seen.candidate, b.features_of(&run_b, 1)?);
            let (width, prefix) = (a.dim(), a.engine().shape().prefix_tokens);
            let tokens = run_a.hidden().chunks_exact(width).zip(run_b.hidden().chunks_exact(width));
            let cosines: Vec<f64> = tokens.map(|(a, b)| cosine(a, b)).collect();
            cls.push(cosines[0]);
            patches.extend_from_slice(&cosines[prefix..]);
            let differences = run_a.hidden().iter().zip(run_b.hidden()).map(|(a, b)| f64::from((a - b).abs()));
            seen.likeness.largest_difference = differences.fold(seen.likeness.largest_difference, f64::max);
            if seen.first.0.is_empty() {
                seen.first = (pixels, other);
            }
        }
    }
    progress(all, all);
    if cls.is_empty() {
        return Err(Error::new(ErrorKind::Data, "no film of the split could be read")
            .hint("choose another --split, or check the manifest"));
    }
    let mut at = kept.into_iter();
    dataset.retain(|_| at.next().unwrap_or(false));
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let worst = |values: &[f64]| values.iter().copied().fold(1.0, f64::min);
    seen.likeness.films = cls.len();
    (seen.likeness.cls_mean, seen.likeness.cls_worst) = (mean(&cls), worst(&cls));
    (seen.likeness.patch_mean, seen.likeness.patch_worst) = (mean(&patches), worst(&patches));
    Ok(seen)
}

fn push(matrix: &mut Matrix, row: Vec<f32>) {
    matrix.values.extend(row);
    matrix.rows += 1;
}
