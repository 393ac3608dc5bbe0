//! The view task: multinomial over the projections, AP and PA.

use std::ops::Range;

use super::Linear;
use super::binary::widen;
use super::examples::Examples;
use super::question::MIN_POSITIVES;
use super::softmax::{self, softmax};
use super::standardise::Standardiser;
use super::strength::{self, GRID};
use crate::data::{Dataset, Split, View};
use crate::linalg::Matrix;

/// The classes, in the order of the outputs.
pub const CLASSES: [View; 2] = [View::Ap, View::Pa];

/// A fitted head.
#[derive(Clone, Debug, PartialEq)]
pub struct Multinomial {
    /// One a class, on raw features; their softmax is calibrated on val.
    pub logits: Vec<Linear>,
    /// The strength that val chose.
    pub strength: f64,
    /// Mean log-likelihood of val over sources; None without val films.
    pub val_likelihood: Option<f64>,
}

/// Training and val films of known view.
pub fn examples(dataset: &Dataset) -> (Examples, Examples) {
    let class = |view| CLASSES.iter().position(|c| *c == view).map(|k| k as f64);
    let of = |split| Examples::new(dataset, split, |film| film.row.view.and_then(class));
    (of(Split::Train), of(Split::Val))
}

/// Why there can be no head, if so.
pub fn refusal(train: &Examples) -> Option<String> {
    let films = |k: usize| train.target.iter().filter(|t| **t as usize == k).count();
    let counts: Vec<String> = CLASSES.iter().enumerate().map(|(k, c)| format!("{} {}", films(k), c.as_str())).collect();
    (0..CLASSES.len())
        .any(|k| films(k) < MIN_POSITIVES)
        .then(|| format!("{} training films; a head needs {MIN_POSITIVES} of each", counts.join(" and ")))
}

/// Fits multinomial regression of every strength (each view counting equally, and in it each source), keeps the one most likely on
/// val, mean over sources, and folds a temperature chosen on val into the weights. None without training films.
pub fn fit(features: &Matrix, cols: Range<usize>, train: &Examples, val: &Examples) -> Option<Multinomial> {
    if train.is_empty() {
        return None;
    }
    let raw = features.select(train.rows.iter().copied(), cols.clone());
    let class: Vec<usize> = train.target.iter().map(|t| *t as usize).collect();
    let weights = balanced(train.weights_by_cell(), &class);
    let standardiser = Standardiser::fit(&raw, &weights);
    let design = standardiser.apply(&raw);
    let mut solution = Vec::new();
    let path = GRID.map(|strength| {
        let start = std::mem::take(&mut solution);
        solution = softmax::fit(&design, &class, CLASSES.len(), &weights, strength, start);
        let stride = design.cols + 1;
        let folded = solution.chunks_exact(stride).map(|wb| standardiser.fold(&wb[..design.cols], wb[design.cols]));
        folded.map(|linear| widen(linear, &cols, features.cols)).collect::<Vec<_>>()
    });
    let goodness = |logits: &Vec<Linear>| likelihood(features, logits, val, 1.0);
    let (strength, logits, val_likelihood) = strength::choose(path.to_vec(), goodness)?;
    let scale = temperature(features, &logits, val);
    Some(Multinomial { logits: logits.iter().map(|l| l.scaled(scale, 0.0)).collect(), strength, val_likelihood })
}

/// The weights, sum 1, scaled such that each class has the same sum: a source of one view only must not tilt the rest.
fn balanced(mut weights: Vec<f64>, class: &[usize]) -> Vec<f64> {
    let mut sums = [0.0; CLASSES.len()];
    weights.iter().zip(class).for_each(|(w, k)| sums[*k] += w);
    let present = sums.iter().filter(|s| **s > 0.0).count() as f64;
    weights.iter_mut().zip(class).for_each(|(w, k)| *w /= sums[*k] * present);
    weights
}

/// Mean over sources of the mean log-likelihood of `examples` with all logits times `scale`; None without films.
fn likelihood(features: &Matrix, logits: &[Linear], examples: &Examples, scale: f64) -> Option<f64> {
    let weights = examples.weights_by_source();
    let of_row = |i: usize| {
        let row = features.row(examples.rows[i]);
        let z: Vec<f64> = logits.iter().map(|l| scale * l.output(row)).collect();
        weights[i] * softmax(&z)[examples.target[i] as usize].max(1e-12).ln()
    };
    (!examples.is_empty()).then(|| (0..examples.len()).map(of_row).sum())
}

/// The factor of the logits, between ⅛ and 8, that makes val most likely (golden-section search over its logarithm).
fn temperature(features: &Matrix, logits: &[Linear], val: &Examples) -> f64 {
    let Some(_) = likelihood(features, logits, val, 1.0) else { return 1.0 };
    let value = |x: f64| likelihood(features, logits, val, x.exp()).unwrap_or(f64::NEG_INFINITY);
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-(8f64.ln()), 8f64.ln());
    for _ in 0..40 {
        let (a, b) = (high - golden * (high - low), low + golden * (high - low));
        if value(a) >= value(b) { high = b } else { low = a }
    }
    (0.5 * (low + high)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn tells_two_views_apart_with_honest_probabilities() {
        let mut random = Random::new(12);
        let n = 800;
        let mut features = Matrix::zeros(n, 3);
        let mut all = Examples::default();
        for i in 0..n {
            let class = random.below(2);
            features.row_mut(i).copy_from_slice(&[1.0, (class as f64 * 2.0 + random.normal()) as f32, 0.5]);
            all.rows.push(i);
            all.source.push(0);
            all.target.push(class as f64);
        }
        let part = |range: Range<usize>| Examples {
            rows: all.rows[range.clone()].to_vec(),
            source: all.source[range.clone()].to_vec(),
            target: all.target[range].to_vec(),
        };
        let head = fit(&features, 0..3, &part(0..500), &part(500..800)).unwrap();
        let right = (500..800).filter(|&i| {
            let z: Vec<f64> = head.logits.iter().map(|l| l.output(features.row(i))).collect();
            (z[1] > z[0]) == (all.target[i] > 0.5)
        });
        let accuracy = right.count() as f64 / 300.0;
        assert!((0.79..0.90).contains(&accuracy), "{accuracy}");
        // The true logit is 2·x − 2, whatever the strength made of it.
        let slope = head.logits[1].weight[1] - head.logits[0].weight[1];
        assert!((1.5..2.6).contains(&slope), "{slope}");
    }

    #[test]
    fn a_source_of_one_view_does_not_tilt_the_classes() {
        assert_eq!(balanced(vec![0.25; 4], &[0, 0, 0, 1]), [1.0 / 6.0, 1.0 / 6.0, 1.0 / 6.0, 0.5]);
    }

    #[test]
    fn a_view_too_rare_is_refused() {
        let train = Examples { rows: vec![0; 60], source: vec![0; 60], target: vec![1.0; 60] };
        assert!(refusal(&train).unwrap().starts_with("0 AP and 60 PA"));
    }
}
