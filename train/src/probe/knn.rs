//! k nearest neighbours: the probe without training.

use std::ops::Range;

use rayon::prelude::*;

use super::examples::Examples;
use crate::linalg::Matrix;

/// Temperature of the votes (DINO's protocol).
const TEMPERATURE: f64 = 0.07;

/// A weighted vote of the films whose features have the highest cosine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knn {
    /// k.
    pub neighbours: usize,
    /// What is compared: CLS.
    pub columns: Range<usize>,
}

impl Knn {
    /// The share of votes for yes, 0 to 1, of each of `rows` by the k nearest films of `train`; a vote weighs
    /// exp(cosine / 0.07).
    pub fn scores(&self, features: &Matrix, train: &Examples, rows: &[usize]) -> Vec<f64> {
        let known: Vec<Vec<f32>> = train.rows.par_iter().map(|&row| self.unit(features, row)).collect();
        let vote = |&row: &usize| {
            let own = self.unit(features, row);
            let cosine = |other: &Vec<f32>| -> f32 { own.iter().zip(other).map(|(a, b)| a * b).sum() };
            let mut votes: Vec<(f32, f64)> = known.iter().zip(&train.target).map(|(k, t)| (cosine(k), *t)).collect();
            let k = self.neighbours.clamp(1, votes.len().max(1));
            // ties are broken by the order of the films, so that a vote repeats
            votes.sort_by(|a, b| b.0.total_cmp(&a.0));
            votes.truncate(k);
            let weight = |c: f32| (f64::from(c - votes.first().map_or(0.0, |v| v.0)) / TEMPERATURE).exp();
            let total: f64 = votes.iter().map(|(c, _)| weight(*c)).sum();
            votes.iter().map(|(c, t)| weight(*c) * t).sum::<f64>() / total.max(f64::MIN_POSITIVE)
        };
        rows.par_iter().map(vote).collect()
    }

    fn unit(&self, features: &Matrix, row: usize) -> Vec<f32> {
        let own = features.row(row).get(self.columns.clone()).unwrap_or_default();
        let length = own.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-12);
        own.iter().map(|v| v / length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_decide_by_their_cosine() {
        let mut features = Matrix::zeros(5, 3);
        for (i, row) in
            [[1.0, 0.0, 9.0], [0.9, 0.1, 9.0], [0.0, 1.0, 9.0], [0.1, 2.0, 9.0], [3.0, 0.1, -9.0]].iter().enumerate()
        {
            features.row_mut(i).copy_from_slice(row);
        }
        let train = Examples { rows: vec![0, 1, 2, 3], source: vec![0; 4], target: vec![1.0, 1.0, 0.0, 0.0] };
        let knn = |neighbours| Knn { neighbours, columns: 0..2 }.scores(&features, &train, &[4])[0];
        assert_eq!(knn(2), 1.0);
        let all = knn(9);
        assert!(all > 0.99 && all < 1.0, "{all}");
    }
}
