//! The age task: ridge regression of the age in years.

use std::ops::Range;

use super::binary::widen;
use super::examples::Examples;
use super::standardise::Standardiser;
use super::strength::{self, GRID};
use super::{Linear, ridge};
use crate::data::{Dataset, Split};
use crate::linalg::Matrix;

/// Training films of known age that a source needs to take part.
pub const MIN_FILMS: usize = 50;

/// A fitted head.
#[derive(Clone, Debug, PartialEq)]
pub struct Regression {
    /// On raw features.
    pub linear: Linear,
    /// The strength that val chose.
    pub strength: f64,
    /// Mean val absolute error over sources, years; None without val films.
    pub val_mae: Option<f64>,
}

/// Training and val films of known age.
pub fn examples(dataset: &Dataset) -> (Examples, Examples) {
    let of = |split| Examples::new(dataset, split, |film| film.row.age);
    let (train, val) = (of(Split::Train), of(Split::Val));
    let takes_part = |source| train.source.iter().filter(|s| **s == source).count() >= MIN_FILMS;
    (train.filter(takes_part), val.filter(takes_part))
}

/// Fits ridge regression of every strength (each source counting equally), keeps the one with the least mean val error
/// over sources. None without training films.
pub fn fit(features: &Matrix, cols: Range<usize>, train: &Examples, val: &Examples) -> Option<Regression> {
    if train.is_empty() {
        return None;
    }
    let raw = features.select(train.rows.iter().copied(), cols.clone());
    let weights = train.weights_by_source();
    let standardiser = Standardiser::fit(&raw, &weights);
    let design = standardiser.apply(&raw);
    let mut solution = Vec::new();
    let path = GRID.map(|strength| {
        solution = ridge::fit(&design, &train.target, &weights, strength, std::mem::take(&mut solution));
        widen(standardiser.fold(&solution[..design.cols], solution[design.cols]), &cols, features.cols)
    });
    let goodness = |l: &Linear| strength::mean_closeness(val, &l.outputs(features, &val.rows));
    let (strength, linear, closeness) = strength::choose(path.to_vec(), goodness)?;
    Some(Regression { linear, strength, val_mae: closeness.map(|c| -c) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn recovers_a_linear_age() {
        let mut random = Random::new(6);
        let n = 300;
        let features = Matrix { rows: n, cols: 5, values: (0..n * 5).map(|_| random.normal() as f32).collect() };
        let age = |i: usize| 50.0 + 12.0 * f64::from(features.row(i)[3]);
        let of = |range: Range<usize>| Examples {
            source: vec![0; range.len()],
            target: range.clone().map(age).collect(),
            rows: range.collect(),
        };
        let fit = fit(&features, 0..5, &of(0..200), &of(200..300)).unwrap();
        assert!(fit.val_mae.unwrap() < 0.2, "{fit:?}");
        assert!((fit.linear.weight[3] - 12.0).abs() < 0.2 && (fit.linear.bias - 50.0).abs() < 0.2, "{fit:?}");
    }
}
