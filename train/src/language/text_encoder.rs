//! A small transformer over words.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use rad_dino_edge::Result;
use rad_dino_edge::checkpoint::Config;

use crate::random::Random;
use crate::vit::block::Block;
use crate::vit::initial::{self, truncated_normal};
use crate::vit::linear::matrix;
use crate::vit::{Encoder, Precision};

/// Width.
pub const WIDTH: usize = 256;
/// Words that are read of a report.
pub const LENGTH: usize = 96;
const LAYERS: usize = 4;
const HEADS: usize = 4;

/// Words, positions, blocks, norm, mean over the words.
#[derive(Module, Debug)]
pub struct TextEncoder<B: Backend> {
    /// [words, WIDTH]
    pub words: Param<Tensor<B, 2>>,
    /// [LENGTH, WIDTH]
    pub positions: Param<Tensor<B, 2>>,
    /// In order.
    pub blocks: Vec<Block<B>>,
    /// After the last block.
    pub norm: LayerNorm<B>,
}

impl<B: Backend> TextEncoder<B> {
    /// Fresh, for `words` different numbers.
    ///
    /// # Errors
    /// None that these sizes can cause.
    pub fn new(words: usize, seed: u64, device: &B::Device) -> Result<Self> {
        // the blocks are a vision transformer's; its embeddings are not used
        let config = Config {
            model_type: "dinov2".to_owned(),
            hidden_size: WIDTH,
            num_hidden_layers: LAYERS,
            num_attention_heads: HEADS,
            mlp_ratio: 4.0,
            image_size: 14,
            patch_size: 14,
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            use_swiglu_ffn: false,
            num_register_tokens: 0,
        };
        let mut weights = initial::encoder(&config, seed);
        for block in &mut weights.blocks {
            // so short a training needs branches that count from the start
            block.layer_scale1 = vec![1.0; WIDTH];
            block.layer_scale2 = vec![1.0; WIDTH];
        }
        let transformer = Encoder::<B>::from_weights(&weights, device)?;
        let mut random = Random::stream(seed, 0x7465_7874);
        Ok(TextEncoder {
            words: matrix(&truncated_normal(words * WIDTH, &mut random), words, WIDTH, device),
            positions: matrix(&truncated_normal(LENGTH * WIDTH, &mut random), LENGTH, WIDTH, device),
            blocks: transformer.blocks,
            norm: transformer.norm,
        })
    }

    /// n texts of [`LENGTH`] numbers, and which of them are there (1, else 0), to [n, WIDTH]. Padding is seen by
    /// attention as a word of its own, and left out of the mean.
    pub fn forward(&self, texts: &[Vec<usize>], known: &[Vec<f32>], precision: Precision) -> Tensor<B, 2> {
        let (n, device) = (texts.len(), self.words.device());
        let numbers: Vec<i64> = texts.iter().flatten().map(|w| *w as i64).collect();
        let numbers = Tensor::<B, 1, Int>::from_data(TensorData::new(numbers, [n * LENGTH]), &device);
        let known = Tensor::<B, 3>::from_data(TensorData::new(known.concat(), [n, LENGTH, 1]), &device);
        let words = self.words.val().select(0, numbers).reshape([n, LENGTH, WIDTH]);
        let mut x = words.add(self.positions.val().unsqueeze());
        for block in &self.blocks {
            x = block.forward(x, precision, None);
        }
        let x = self.norm.forward(x).mul(known.clone());
        let count = known.sum_dim(1).clamp_min(1.0);
        x.sum_dim(1).div(count).reshape([n, WIDTH])
    }
}
