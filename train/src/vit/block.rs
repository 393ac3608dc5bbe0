//! One transformer block, norm first.

use burn::module::Module;
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::attention::Attention;
use super::drop_path::DropPath;
use super::layer_scale::LayerScale;
use super::mlp::FeedForward;
use super::precision::Precision;

/// x += λ₁·attention(norm₁ x); x += λ₂·feed_forward(norm₂ x).
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    /// Before attention.
    pub norm1: LayerNorm<B>,
    /// Mixes tokens.
    pub attention: Attention<B>,
    /// λ₁
    pub layer_scale1: LayerScale<B>,
    /// Before the feed-forward layer.
    pub norm2: LayerNorm<B>,
    /// Mixes channels.
    pub feed_forward: FeedForward<B>,
    /// λ₂
    pub layer_scale2: LayerScale<B>,
}

impl<B: Backend> Block<B> {
    /// [N, T, D] to [N, T, D]; with `drop_path` each branch runs on a random part of the N samples.
    pub fn forward(&self, x: Tensor<B, 3>, precision: Precision, drop_path: Option<&mut DropPath>) -> Tensor<B, 3> {
        let attend = |x| self.layer_scale1.forward(self.attention.forward(self.norm1.forward(x), precision));
        let feed = |x| self.layer_scale2.forward(self.feed_forward.forward(self.norm2.forward(x), precision));
        match drop_path {
            Some(path) => {
                let x = path.residual(x, attend);
                path.residual(x, feed)
            }
            None => {
                let x = x.clone().add(attend(x));
                x.clone().add(feed(x))
            }
        }
    }
}
