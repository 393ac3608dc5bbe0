//! LayerNorm over the last axis.

use rad_dino_kernels::Kernels;

/// γ, β and ε.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl LayerNorm {
    /// `weight` and `bias` have the same length D.
    pub fn new(weight: Vec<f32>, bias: Vec<f32>, epsilon: f32) -> Self {
        debug_assert_eq!(weight.len(), bias.len());
        LayerNorm { weight, bias, epsilon }
    }

    /// D
    pub fn width(&self) -> usize {
        self.weight.len()
    }

    /// out [rows, D] = LayerNorm(x [rows, D])
    pub fn apply(&self, kernels: &dyn Kernels, x: &[f32], out: &mut [f32]) {
        kernels.layer_norm(x, &self.weight, &self.bias, self.epsilon, out);
    }
}
