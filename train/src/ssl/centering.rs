//! Teacher targets by centring: a running mean of the logits is subtracted before a sharp softmax.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;

/// The running mean c of the teacher's logits.
#[derive(Clone, Debug)]
pub struct Center<B: Backend> {
    /// c, [1, K]
    pub value: Tensor<B, 2>,
    /// Share of the old c that an update keeps (0.9).
    pub momentum: f64,
}

impl<B: Backend> Center<B> {
    /// c = 0.
    pub fn new(k: usize, momentum: f64, device: &B::Device) -> Self {
        Center { value: Tensor::zeros([1, k], device), momentum }
    }

    /// Targets softmax((y − c) / τ) of the whole batch [n, K]; then c ← m·c + (1 − m)·mean(y).
    pub fn targets(&mut self, logits: Tensor<B, 2>, temperature: f64) -> Tensor<B, 2> {
        let targets = softmax(logits.clone().sub(self.value.clone()).div_scalar(temperature), 1);
        let mean = logits.mean_dim(0);
        self.value = self.value.clone().mul_scalar(self.momentum).add(mean.mul_scalar(1.0 - self.momentum));
        targets
    }
}
