//! L2-regularised logistic regression.

use crate::linalg::Matrix;
use crate::linalg::lbfgs::{self, Stop};
use crate::linalg::matrix::{add_scaled, dot};
use crate::metrics::calibration::{sigmoid, softplus};

/// Minimises Σᵢ weightᵢ · cross-entropyᵢ + strength/2 · |w|² (weights sum to 1, the bias is free).
/// `design` [n, d] is standardised, `positive` [n] 0 or 1. `start` is [w (d), bias] and is returned improved.
pub fn fit(design: &Matrix, positive: &[f64], weights: &[f64], strength: f64, start: Vec<f64>) -> Vec<f64> {
    let d = design.cols;
    let mut solution = start;
    solution.resize(d + 1, 0.0);
    lbfgs::minimise(&mut solution, Stop::default(), |x, gradient| {
        let (w, bias) = (&x[..d], x[d]);
        let sums = design.fold_rows(d + 2, |i, sums| {
            let z = dot(design.row(i), w) + bias;
            let error = weights[i] * (sigmoid(z) - positive[i]);
            add_scaled(&mut sums[..d], error, design.row(i));
            sums[d] += error;
            sums[d + 1] += weights[i] * (softplus(z) - positive[i] * z);
        });
        let mut penalty = 0.0;
        for j in 0..d {
            gradient[j] = sums[j] + strength * w[j];
            penalty += w[j] * w[j];
        }
        gradient[d] = sums[d];
        sums[d + 1] + 0.5 * strength * penalty
    });
    solution
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn the_gradient_vanishes_at_the_solution() {
        let mut random = Random::new(11);
        let (n, d) = (300, 7);
        let design = Matrix { rows: n, cols: d, values: (0..n * d).map(|_| random.normal() as f32).collect() };
        let positive: Vec<f64> =
            (0..n).map(|i| f64::from(u8::from(design.row(i)[0] + random.normal() as f32 > 0.3))).collect();
        let weights = vec![1.0 / n as f64; n];
        let x = fit(&design, &positive, &weights, 0.05, Vec::new());
        for j in 0..=d {
            let mut gradient = if j < d { 0.05 * x[j] } else { 0.0 };
            for i in 0..n {
                let error = sigmoid(dot(design.row(i), &x[..d]) + x[d]) - positive[i];
                gradient += weights[i] * error * if j < d { f64::from(design.row(i)[j]) } else { 1.0 };
            }
            assert!(gradient.abs() < 1e-6, "{j}: {gradient}");
        }
        assert!(x[0] > 0.5);
    }

    #[test]
    fn more_strength_means_smaller_weights() {
        let design = Matrix { rows: 2, cols: 1, values: vec![-1.0, 1.0] };
        let size = |strength| fit(&design, &[0.0, 1.0], &[0.5, 0.5], strength, Vec::new())[0];
        assert!(size(0.01) > size(0.1) && size(0.1) > size(1.0) && size(1.0) > 0.0);
    }
}
