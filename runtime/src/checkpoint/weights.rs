//! The encoder's weights as f32, in one canonical naming, whatever the file called them.

use super::Config;

/// All tensors of an encoder. Linear weights are [out, in], row-major, as in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderWeights {
    /// Shapes.
    pub config: Config,
    /// [D]
    pub cls_token: Vec<f32>,
    /// [D]
    pub mask_token: Vec<f32>,
    /// [R, D]
    pub register_tokens: Vec<f32>,
    /// [1 + G·G, D], row 0 = CLS, G = image_size / patch_size.
    pub position_embeddings: Vec<f32>,
    /// [D, 3, p, p]
    pub patch_weight: Vec<f32>,
    /// [D]
    pub patch_bias: Vec<f32>,
    /// One per layer.
    pub blocks: Vec<BlockWeights>,
    /// Final LayerNorm, [D].
    pub norm_weight: Vec<f32>,
    /// [D]
    pub norm_bias: Vec<f32>,
}

/// One transformer block.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockWeights {
    /// [D]
    pub norm1_weight: Vec<f32>,
    /// [D]
    pub norm1_bias: Vec<f32>,
    /// [D, D]
    pub query_weight: Vec<f32>,
    /// [D], zeros when the checkpoint has no qkv bias.
    pub query_bias: Vec<f32>,
    /// [D, D]
    pub key_weight: Vec<f32>,
    /// [D]
    pub key_bias: Vec<f32>,
    /// [D, D]
    pub value_weight: Vec<f32>,
    /// [D]
    pub value_bias: Vec<f32>,
    /// [D, D]
    pub output_weight: Vec<f32>,
    /// [D]
    pub output_bias: Vec<f32>,
    /// LayerScale λ of the attention branch, [D].
    pub layer_scale1: Vec<f32>,
    /// [D]
    pub norm2_weight: Vec<f32>,
    /// [D]
    pub norm2_bias: Vec<f32>,
    /// MLP or SwiGLU.
    pub feed_forward: FeedForward,
    /// LayerScale λ of the feed-forward branch, [D].
    pub layer_scale2: Vec<f32>,
}

/// The feed-forward layer; F = its hidden width.
#[derive(Clone, Debug, PartialEq)]
pub enum FeedForward {
    /// fc2(gelu(fc1(x)))
    Mlp {
        /// [F, D]
        fc1_weight: Vec<f32>,
        /// [F]
        fc1_bias: Vec<f32>,
        /// [D, F]
        fc2_weight: Vec<f32>,
        /// [D]
        fc2_bias: Vec<f32>,
    },
    /// out(silu(a) · b), (a, b) = halves of in(x)
    SwiGlu {
        /// [2F, D]
        in_weight: Vec<f32>,
        /// [2F]
        in_bias: Vec<f32>,
        /// [D, F]
        out_weight: Vec<f32>,
        /// [D]
        out_bias: Vec<f32>,
    },
}
