//! Regularisation strengths, and which one val likes best.

use super::examples::Examples;
use crate::metrics::{auroc, mae};

/// Strengths tried, strongest first: the penalty is strength/2 · |w|² beside a mean loss on standardised features.
pub const GRID: [f64; 12] = [10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002];
/// The strength where val cannot tell.
pub const DEFAULT: f64 = 0.2;
/// Films of each class that a source's val split needs to have a say.
pub const MIN_VAL: usize = 5;

/// The mean over sources of the AUROC of `scores`; None when no source has [`MIN_VAL`] films of both classes.
pub fn mean_auroc(examples: &Examples, scores: &[f64]) -> Option<f64> {
    let mut values = Vec::new();
    for source in examples.sources() {
        let (scores, positive) = of_source(examples, scores, source);
        let positives = positive.iter().filter(|p| **p).count();
        if positives >= MIN_VAL && positive.len() - positives >= MIN_VAL {
            values.extend(auroc(&scores, &positive));
        }
    }
    mean(&values)
}

/// Minus the mean over sources of the mean absolute error; None without films.
pub fn mean_closeness(examples: &Examples, predictions: &[f64]) -> Option<f64> {
    let mut values = Vec::new();
    for source in examples.sources() {
        let of = |values: &[f64]| {
            values.iter().zip(&examples.source).filter(|(_, s)| **s == source).map(|(v, _)| *v).collect::<Vec<_>>()
        };
        values.extend(mae(&of(predictions), &of(&examples.target)).map(|error| -error));
    }
    mean(&values)
}

/// The best of `candidates` (in the order of [`GRID`]) by `goodness`, ties to the stronger: its strength, the
/// candidate and its goodness. Without any goodness the candidate of [`DEFAULT`].
pub fn choose<T>(candidates: Vec<T>, goodness: impl Fn(&T) -> Option<f64>) -> Option<(f64, T, Option<f64>)> {
    let mut best: Option<(f64, T, Option<f64>)> = None;
    for (strength, candidate) in GRID.into_iter().zip(candidates) {
        let value = goodness(&candidate);
        let better = match (&best, value) {
            (None, _) => true,
            (Some((_, _, Some(old))), Some(new)) => new > *old + 1e-12,
            (Some((_, _, None)), Some(_)) => true,
            (Some((_, _, None)), None) => strength == DEFAULT,
            (Some((_, _, Some(_))), None) => false,
        };
        if better {
            best = Some((strength, candidate, value));
        }
    }
    best
}

/// Scores and truth of the films of one source.
pub fn of_source(examples: &Examples, scores: &[f64], source: usize) -> (Vec<f64>, Vec<bool>) {
    let rows = (0..examples.len()).filter(|&i| examples.source[i] == source);
    rows.map(|i| (scores[i], examples.target[i] > 0.5)).unzip()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_one_voice_each() {
        // Source 0: perfect ranking of 10 + 10; source 1: reversed ranking of 5 + 5; source 2: too few.
        let mut examples = Examples::default();
        let mut scores = Vec::new();
        for (source, n, sign) in [(0, 10, 1.0), (1, 5, -1.0), (2, 4, -1.0)] {
            for class in [0.0, 1.0] {
                for i in 0..n {
                    examples.rows.push(i);
                    examples.source.push(source);
                    examples.target.push(class);
                    scores.push(sign * class);
                }
            }
        }
        assert_eq!(mean_auroc(&examples, &scores), Some(0.5));
        assert_eq!(mean_auroc(&examples.filter(|s| s == 2), &scores[30..]), None);
    }

    #[test]
    fn ties_go_to_the_stronger_and_silence_to_the_default() {
        let (strength, candidate, _) = choose(vec![1, 5, 5, 2], |c| Some(f64::from(*c))).unwrap();
        assert_eq!((strength, candidate), (GRID[1], 5));
        let (strength, ..) = choose(GRID.to_vec(), |_| None).unwrap();
        assert_eq!(strength, DEFAULT);
        assert!(choose(Vec::<u8>::new(), |_| None).is_none());
    }
}
