//! `config.json` of a checkpoint folder.

use serde::{Deserialize, Serialize};

/// The keys of `config.json` that shape the network; unknown keys are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `dinov2` or `dinov2_with_registers`.
    pub model_type: String,
    /// D.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Feed-forward width / D.
    pub mlp_ratio: f64,
    /// Side of the stored position grid × patch_size, pixels.
    pub image_size: usize,
    /// Patch side, pixels.
    pub patch_size: usize,
    /// LayerNorm ε.
    pub layer_norm_eps: f64,
    /// Whether q, k, v have biases.
    pub qkv_bias: bool,
    /// SwiGLU instead of GELU MLP.
    pub use_swiglu_ffn: bool,
    /// R; 0 for `dinov2`.
    pub num_register_tokens: usize,
}
