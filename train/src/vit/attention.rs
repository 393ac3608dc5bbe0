//! Multi-head self-attention.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;

use super::precision::Precision;

/// softmax(q·kᵀ/√d)·v over H heads, then a linear layer.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    /// [D, 3D]: q, k, v side by side.
    pub qkv: Linear<B>,
    /// [D, D]
    pub output: Linear<B>,
    /// H
    pub heads: usize,
}

impl<B: Backend> Attention<B> {
    /// [N, T, D] to [N, T, D], f32 both; products in `precision`, softmax in f32.
    pub fn forward(&self, x: Tensor<B, 3>, precision: Precision) -> Tensor<B, 3> {
        let [n, t, d] = x.dims();
        let width = d / self.heads;
        // the tokens are one long batch: on [N, T, D] a weight's gradient would be N small products and a sum
        let qkv: Tensor<B, 5> =
            precision.linear(&self.qkv, x.reshape([n * t, d])).reshape([n, t, 3, self.heads, width]);
        let part = |i: usize| -> Tensor<B, 4> {
            qkv.clone().narrow(2, i, 1).reshape([n, t, self.heads, width]).swap_dims(1, 2)
        };
        let (query, key, value) = (part(0).mul_scalar(1.0 / (width as f64).sqrt()), part(1), part(2));
        let weights = precision.operand(softmax(precision.float(query.matmul(key.swap_dims(2, 3))), 3));
        let mixed = weights.matmul(value).swap_dims(1, 2).reshape([n * t, d]);
        precision.float(precision.linear(&self.output, mixed)).reshape([n, t, d])
    }
}
