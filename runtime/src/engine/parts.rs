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

/// The block function that `op_type` names. An int8 block whose calibration keeps layers in f16 or scales the input of
/// fc2 is a function of its own in the file, called [`INT8_BLOCK`], `_` and what differs; its tensors say the same.
pub fn block_function(op_type: &str) -> Option<&'static str> {
    let name = match op_type.split_once('_') {
        Some((INT8_BLOCK, _)) => INT8_BLOCK,
        _ => op_type,
    };
    BLOCK_FUNCTIONS.into_iter().find(|known| *known == name)
}
