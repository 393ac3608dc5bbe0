//! Features with mean 0 and variance 1 over the training rows, and the way back to raw features.

use super::Linear;
use crate::linalg::Matrix;
use crate::linalg::matrix::dot;

/// z = (f − mean) · scale.
#[derive(Clone, Debug)]
pub struct Standardiser {
    mean: Vec<f64>,
    /// 1 / standard deviation; 0 for a constant feature.
    scale: Vec<f64>,
}

impl Standardiser {
    /// Mean and deviation of the rows of `features` under `weights` [rows], which sum to 1.
    pub fn fit(features: &Matrix, weights: &[f64]) -> Self {
        let cols = features.cols;
        let mean = features.fold_rows(cols, |i, sums| {
            sums.iter_mut().zip(features.row(i)).for_each(|(s, x)| *s += weights[i] * f64::from(*x));
        });
        let variance = features.fold_rows(cols, |i, sums| {
            for (j, x) in features.row(i).iter().enumerate() {
                sums[j] += weights[i] * (f64::from(*x) - mean[j]).powi(2);
            }
        });
        let floor = variance.iter().fold(0.0f64, |m, v| m.max(*v)) * 1e-12;
        let scale = variance.iter().map(|v| if *v > floor { 1.0 / v.sqrt() } else { 0.0 }).collect();
        Standardiser { mean, scale }
    }

    /// The standardised rows.
    pub fn apply(&self, features: &Matrix) -> Matrix {
        let mut out = features.clone();
        for i in 0..out.rows {
            for (j, x) in out.row_mut(i).iter_mut().enumerate() {
                *x = ((f64::from(*x) - self.mean[j]) * self.scale[j]) as f32;
            }
        }
        out
    }

    /// The model on raw features that equals weight · z + bias.
    pub fn fold(&self, weight: &[f64], bias: f64) -> Linear {
        let weight: Vec<f64> = weight.iter().zip(&self.scale).map(|(w, s)| w * s).collect();
        let shift: f64 = weight.iter().zip(&self.mean).map(|(w, m)| w * m).sum();
        Linear { weight, bias: bias - shift }
    }
}

/// weight · z + bias for every row.
pub fn outputs(design: &Matrix, weight: &[f64], bias: f64) -> Vec<f64> {
    (0..design.rows).map(|i| dot(design.row(i), weight) + bias).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folding_gives_the_same_outputs_on_raw_features() {
        let raw = Matrix { rows: 4, cols: 3, values: vec![1., 10., 7., 2., 30., 7., 3., 20., 7., 6., 5., 7.] };
        let standardiser = Standardiser::fit(&raw, &[0.25; 4]);
        let z = standardiser.apply(&raw);
        for j in 0..2 {
            let mean: f32 = (0..4).map(|i| z.row(i)[j]).sum::<f32>() / 4.0;
            let square: f32 = (0..4).map(|i| z.row(i)[j].powi(2)).sum::<f32>() / 4.0;
            assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5);
        }
        let (weight, bias) = (vec![0.5, -2.0, 9.0], 0.3);
        let linear = standardiser.fold(&weight, bias);
        for (i, want) in outputs(&z, &weight, bias).into_iter().enumerate() {
            assert!((linear.output(raw.row(i)) - want).abs() < 1e-5);
        }
        assert_eq!(linear.weight[2], 0.0, "a constant feature gets no weight");
    }
}
