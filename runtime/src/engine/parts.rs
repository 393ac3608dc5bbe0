//! A network as the list of fused operators it is made of, wherever the weights came from.

use super::block::Block;
use super::heads::Heads;
use super::norm::LayerNorm;
use super::patch_embed::PatchEmbed;

/// The encoder and its heads, packed for the kernels.
#[derive(Debug)]
pub struct Parts {
    /// Pixels to tokens.
    pub patch_embed: PatchEmbed,
    /// The function's name in the file and the blocks in order.
    pub blocks: Vec<(&'static str, Block)>,
    /// The last LayerNorm.
    pub final_norm: LayerNorm,
    /// Trained heads, if any.
    pub heads: Option<Heads>,
}

/// Names of the block functions.
pub const BLOCK_FUNCTIONS: [&str; 3] = ["EncoderBlock", "EncoderBlockF16", INT8_BLOCK];

/// The block whose attention is int8, too.
pub const INT8_BLOCK: &str = "EncoderBlockInt8";
