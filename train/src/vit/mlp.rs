//! The feed-forward layer: MLP or SwiGLU.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use burn::tensor::backend::Backend;

use super::precision::Precision;

/// The feed-forward layer of a block; F = its hidden width.
#[derive(Module, Debug)]
pub enum FeedForward<B: Backend> {
    /// fc2(gelu(fc1(x)))
    Mlp(Mlp<B>),
    /// out(silu(a) · b), (a, b) = halves of in(x)
    SwiGlu(SwiGlu<B>),
}

/// Two linear layers with a GELU between.
#[derive(Module, Debug)]
pub struct Mlp<B: Backend> {
    /// [D, F]
    pub fc1: Linear<B>,
    /// [F, D]
    pub fc2: Linear<B>,
}

/// A gated linear unit with SiLU.
#[derive(Module, Debug)]
pub struct SwiGlu<B: Backend> {
    /// [D, 2F]
    pub weights_in: Linear<B>,
    /// [F, D]
    pub weights_out: Linear<B>,
}

impl<B: Backend> FeedForward<B> {
    /// [N, T, D] to [N, T, D], f32 both; products in `precision`.
    pub fn forward(&self, x: Tensor<B, 3>, precision: Precision) -> Tensor<B, 3> {
        let [n, t, d] = x.dims();
        let x = x.reshape([n * t, d]);
        let y = match self {
            FeedForward::Mlp(mlp) => precision.linear(&mlp.fc2, precision.gelu(precision.linear(&mlp.fc1, x))),
            FeedForward::SwiGlu(gated) => {
                let halves = precision.linear(&gated.weights_in, x).chunk(2, 1);
                let [gate, value] = halves.try_into().unwrap_or_else(|_| unreachable!("2F columns halve"));
                precision.linear(&gated.weights_out, silu(gate).mul(value))
            }
        };
        precision.float(y).reshape([n, t, d])
    }
}
