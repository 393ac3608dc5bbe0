//! A learned factor per channel on each branch of a block.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// x · λ.
#[derive(Module, Debug)]
pub struct LayerScale<B: Backend> {
    /// λ, [D]
    pub lambda: Param<Tensor<B, 1>>,
}

impl<B: Backend> LayerScale<B> {
    /// [N, T, D] to [N, T, D].
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        x.mul(self.lambda.val().unsqueeze())
    }
}
