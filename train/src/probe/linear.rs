//! One linear output on raw features.

use crate::linalg::Matrix;
use crate::linalg::matrix::dot;

/// output = weight · f + bias.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Linear {
    /// One per feature.
    pub weight: Vec<f64>,
    /// Is added.
    pub bias: f64,
}

impl Linear {
    /// The output for one feature vector; features beyond the weights do not count.
    pub fn output(&self, features: &[f32]) -> f64 {
        dot(&features[..self.weight.len()], &self.weight) + self.bias
    }

    /// The outputs for the rows `rows` of `features`.
    pub fn outputs(&self, features: &Matrix, rows: &[usize]) -> Vec<f64> {
        rows.iter().map(|&row| self.output(features.row(row))).collect()
    }

    /// scale · this + offset.
    pub fn scaled(&self, scale: f64, offset: f64) -> Linear {
        Linear { weight: self.weight.iter().map(|w| scale * w).collect(), bias: scale * self.bias + offset }
    }
}
