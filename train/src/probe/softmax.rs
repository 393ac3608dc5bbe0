//! L2-regularised multinomial logistic regression.

use crate::linalg::Matrix;
use crate::linalg::lbfgs::{self, Stop};
use crate::linalg::matrix::{add_scaled, dot};

/// Minimises Σᵢ weightᵢ · cross-entropyᵢ + strength/2 · |W|² over `classes` classes (biases are free).
/// `design` [n, d] is standardised, `class` [n]. `start` is per class [w (d), bias] and is returned improved.
pub fn fit(
    design: &Matrix,
    class: &[usize],
    classes: usize,
    weights: &[f64],
    strength: f64,
    start: Vec<f64>,
) -> Vec<f64> {
    let (d, stride) = (design.cols, design.cols + 1);
    let size = classes * stride;
    let mut solution = start;
    solution.resize(size, 0.0);
    lbfgs::minimise(&mut solution, Stop::default(), |x, gradient| {
        let sums = design.fold_rows(size + 1, |i, sums| {
            let row = design.row(i);
            let logits = x.chunks_exact(stride).map(|wb| dot(row, &wb[..d]) + wb[d]).collect::<Vec<_>>();
            let probabilities = softmax(&logits);
            sums[size] -= weights[i] * probabilities[class[i]].max(f64::MIN_POSITIVE).ln();
            for (k, part) in sums[..size].chunks_exact_mut(stride).enumerate() {
                let error = weights[i] * (probabilities[k] - f64::from(u8::from(k == class[i])));
                add_scaled(&mut part[..d], error, row);
                part[d] += error;
            }
        });
        let mut penalty = 0.0;
        for (j, g) in gradient.iter_mut().enumerate() {
            let w = if j % stride < d { x[j] } else { 0.0 };
            *g = sums[j] + strength * w;
            penalty += w * w;
        }
        sums[size] + 0.5 * strength * penalty
    });
    solution
}

/// Probabilities of `logits`.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let top = logits.iter().fold(f64::NEG_INFINITY, |m, x| m.max(*x));
    let exponentials: Vec<f64> = logits.iter().map(|x| (x - top).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::logistic;
    use crate::random::Random;

    #[test]
    fn two_classes_are_logistic_regression_with_half_the_strength() {
        let mut random = Random::new(2);
        let (n, d) = (200, 4);
        let design = Matrix { rows: n, cols: d, values: (0..n * d).map(|_| random.normal() as f32).collect() };
        let class: Vec<usize> = (0..n).map(|i| usize::from(design.row(i)[1] + random.normal() as f32 > 0.0)).collect();
        let positive: Vec<f64> = class.iter().map(|c| *c as f64).collect();
        let weights = vec![1.0 / n as f64; n];
        let two = fit(&design, &class, 2, &weights, 0.1, Vec::new());
        let one = logistic::fit(&design, &positive, &weights, 0.05, Vec::new());
        for j in 0..=d {
            assert!((two[d + 1 + j] - two[j] - one[j]).abs() < 1e-4, "{j}");
        }
    }

    #[test]
    fn softmax_sums_to_one_and_does_not_overflow() {
        let p = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12 && p[0] > p[1] && p[2] == 0.0);
    }
}
