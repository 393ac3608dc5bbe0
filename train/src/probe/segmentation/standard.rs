//! Mean and deviation of each channel of the tokens.

use super::tokens::Tokens;

/// Per channel, [D] both.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    mean: Vec<f32>,
    scale: Vec<f32>,
}

impl Standard {
    /// Of all tokens of all views; sums run in their order.
    pub fn fit(tokens: &Tokens, dim: usize) -> Self {
        let (mut sum, mut squares) = (vec![0.0f64; dim], vec![0.0f64; dim]);
        let mut count = 0.0f64;
        for token in tokens.values.chunks_exact(dim) {
            for ((sum, squares), x) in sum.iter_mut().zip(&mut squares).zip(token) {
                let x = x.to_f64();
                *sum += x;
                *squares += x * x;
            }
            count += 1.0;
        }
        let count = count.max(1.0);
        let mean: Vec<f32> = sum.iter().map(|s| (s / count) as f32).collect();
        let variance = |(s, q): (&f64, &f64)| (q / count - (s / count).powi(2)).max(1e-12);
        let scale = sum.iter().zip(&squares).map(|pair| (1.0 / variance(pair).sqrt()) as f32).collect();
        Standard { mean, scale }
    }

    /// Standardised values of a view, appended to `out`.
    pub fn apply(&self, view: &[half::f16], out: &mut Vec<f32>) {
        for token in view.chunks_exact(self.mean.len()) {
            out.extend(token.iter().zip(&self.mean).zip(&self.scale).map(|((x, m), s)| (x.to_f32() - m) * s));
        }
    }

    /// Turns a layer on standardised values, weight [rows, D] and bias [rows], into the same on raw ones.
    pub fn fold(&self, weight: &mut [f32], bias: &mut [f32]) {
        for (row, bias) in weight.chunks_exact_mut(self.mean.len()).zip(bias) {
            let mut shift = 0.0f64;
            for ((w, m), s) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                *w *= s;
                shift += f64::from(*w) * f64::from(*m);
            }
            *bias = (f64::from(*bias) - shift) as f32;
        }
    }
}
