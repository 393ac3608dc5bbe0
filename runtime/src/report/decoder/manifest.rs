//! What a decoder file says about itself (`metadata_props["rad_dino.decoder"]`, JSON).

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::model::manifest::{Metric, Precision, TrainingData};
use crate::model::onnx::refused;

/// The key of the manifest in the ONNX file's `metadata_props`.
pub const DECODER_KEY: &str = "rad_dino.decoder";
/// The key of the tokenizer's JSON.
pub const TOKENIZER_KEY: &str = "tokenizer.json";
/// The value of `schema` this build writes and reads.
pub const DECODER_SCHEMA: &str = "rad-dino-edge/decoder/1";

/// The manifest of a decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecoderManifest {
    /// [`DECODER_SCHEMA`]
    pub schema: String,
    /// For people.
    pub name: String,
    /// For people.
    pub version: String,
    /// fp32 or int8.
    pub precision: Precision,
    /// Sizes.
    pub architecture: Architecture,
    /// First token of every text.
    #[serde(default)]
    pub bos_token: Option<u32>,
    /// Tokens that end a text.
    #[serde(default)]
    pub eos_tokens: Vec<u32>,
    /// How images come in; None for a decoder of text alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageInput>,
    /// Sources, licences and counts of what it was trained on.
    #[serde(default)]
    pub training_data: Vec<TrainingData>,
    /// Licence of the weights.
    #[serde(default)]
    pub licence: String,
    /// Metrics with 95 % intervals.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// sha256 (hex) of the decoder's model.safetensors.
    #[serde(default)]
    pub parent_sha256: String,
    /// That this is no medical device.
    pub notice: String,
}

/// Sizes of a Llama-architecture decoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Architecture {
    /// V
    pub vocab_size: usize,
    /// D
    pub hidden_size: usize,
    /// F
    pub intermediate_size: usize,
    /// Blocks.
    pub depth: usize,
    /// H
    pub num_heads: usize,
    /// KV; divides H.
    pub num_kv_heads: usize,
    /// hd, even.
    pub head_dim: usize,
    /// ε of every RMSNorm.
    pub rms_norm_eps: f32,
}

/// Image tokens: means of squares of the encoder's patch tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageInput {
    /// E, width of the encoder's patch tokens.
    pub encoder_width: usize,
    /// g: the encoder gives g×g patch tokens.
    pub grid: usize,
    /// Side of the squares.
    pub pool: usize,
    /// Width of the projector's hidden layer.
    pub hidden: usize,
    /// sha256 (hex) of the encoder's weights it was trained with.
    pub encoder_sha256: String,
    /// Most tokens a report may have.
    pub max_tokens: usize,
}

impl ImageInput {
    /// I, image tokens a film; squares at the border may be cut.
    pub fn tokens(&self) -> usize {
        let side = self.grid.div_ceil(self.pool.max(1));
        side * side
    }

    /// [g·g, E] → [I, E]: the mean of each square of `pool` by `pool` tokens.
    pub fn pool(&self, patches: &[f32]) -> Vec<f32> {
        pool(patches, self.grid, self.encoder_width, self.pool)
    }
}

/// [g·g, width] → the mean of each square of `pool` by `pool` tokens, row by row.
pub fn pool(patches: &[f32], grid: usize, width: usize, pool: usize) -> Vec<f32> {
    let pool = pool.max(1);
    let side = grid.div_ceil(pool);
    let mut out = vec![0.0; side * side * width];
    for (cell, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let (top, left) = (cell / side * pool, cell % side * pool);
        let mut count = 0.0;
        for y in top..(top + pool).min(grid) {
            for x in left..(left + pool).min(grid) {
                let token = patches.get((y * grid + x) * width..).unwrap_or_default();
                out.iter_mut().zip(token).for_each(|(sum, v)| *sum += v);
                count += 1.0f32;
            }
        }
        out.iter_mut().for_each(|sum| *sum /= count);
    }
    out
}

impl DecoderManifest {
    /// Parses and checks the JSON.
    ///
    /// # Errors
    /// `Model` naming what does not fit.
    pub fn parse(json: &str) -> Result<Self> {
        let manifest: Self =
            serde_json::from_str(json).map_err(|e| refused(format!("its manifest cannot be read: {e}")))?;
        if manifest.schema != DECODER_SCHEMA {
            let message = format!("its manifest has schema `{}`, this build reads {DECODER_SCHEMA}", manifest.schema);
            return Err(refused(message));
        }
        let a = &manifest.architecture;
        let within = |n: usize, most: usize| (1..=most).contains(&n);
        let fits = within(a.vocab_size, 1 << 20)
            && within(a.hidden_size, 16_384)
            && within(a.intermediate_size, 1 << 17)
            && within(a.depth, 512)
            && within(a.num_heads, 1_024)
            && within(a.num_kv_heads, a.num_heads)
            && a.num_heads.is_multiple_of(a.num_kv_heads)
            && within(a.head_dim, 1_024)
            && a.head_dim.is_multiple_of(2)
            && a.rms_norm_eps > 0.0;
        let image = manifest.image.as_ref().is_none_or(|image| {
            within(image.encoder_width, 16_384)
                && within(image.grid, 512)
                && within(image.pool, image.grid)
                && within(image.hidden, 1 << 16)
                && within(image.max_tokens, 4_096)
        });
        let special = manifest.eos_tokens.iter().chain(&manifest.bos_token).all(|t| (*t as usize) < a.vocab_size);
        match fits && image && special {
            true => Ok(manifest),
            false => Err(refused("its manifest's sizes make no decoder")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged_and_cut_at_the_border() {
        // 3×3 tokens of width 2
        let patches: Vec<f32> = (0..9).flat_map(|i| [i as f32, 10.0 * i as f32]).collect();
        assert_eq!(pool(&patches, 3, 2, 2), [2.0, 20.0, 3.5, 35.0, 6.5, 65.0, 8.0, 80.0]);
        assert_eq!(pool(&patches, 3, 2, 1), patches);
    }
}
