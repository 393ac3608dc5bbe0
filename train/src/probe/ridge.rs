//! Ridge regression.

use crate::linalg::Matrix;
use crate::linalg::lbfgs::{self, Stop};
use crate::linalg::matrix::{add_scaled, dot};

/// Minimises ½ Σᵢ weightᵢ (w·zᵢ + bias − targetᵢ)² + strength/2 · |w|² (weights sum to 1, the bias is free).
/// `design` [n, d] is standardised. `start` is [w (d), bias] and is returned improved.
pub fn fit(design: &Matrix, targets: &[f64], weights: &[f64], strength: f64, start: Vec<f64>) -> Vec<f64> {
    let d = design.cols;
    let mut solution = start;
    solution.resize(d + 1, 0.0);
    lbfgs::minimise(&mut solution, Stop::default(), |x, gradient| {
        let (w, bias) = (&x[..d], x[d]);
        let sums = design.fold_rows(d + 2, |i, sums| {
            let miss = dot(design.row(i), w) + bias - targets[i];
            add_scaled(&mut sums[..d], weights[i] * miss, design.row(i));
            sums[d] += weights[i] * miss;
            sums[d + 1] += 0.5 * weights[i] * miss * miss;
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

    #[test]
    fn one_feature_has_a_closed_form() {
        let design = Matrix { rows: 3, cols: 1, values: vec![-1.0, 0.0, 1.0] };
        let x = fit(&design, &[10.0, 20.0, 36.0], &[1.0 / 3.0; 3], 0.5, Vec::new());
        // w = cov / (var + strength) = (26/3) / (2/3 + 1/2); the bias is the mean.
        assert!((x[0] - (26.0 / 3.0) / (2.0 / 3.0 + 0.5)).abs() < 1e-6 && (x[1] - 22.0).abs() < 1e-6, "{x:?}");
    }
}
