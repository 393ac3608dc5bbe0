//! A decoder straight from a checkpoint folder, in fp32, without a file in between.

use std::path::Path;

use rad_dino_kernels::{Isa, PackedF32, kernels};

use super::manifest::{Architecture, DECODER_SCHEMA, DecoderManifest, ImageInput};
use super::network::{Block, Embedding, Network, Projection};
use super::{Decoder, Tokenizer};
use crate::checkpoint::{Llama, LlamaBlock, LlamaConfig};
use crate::engine::isa_error;
use crate::engine::linear::Linear;
use crate::error::Result;
use crate::model::manifest::{NOTICE, Precision};

impl DecoderManifest {
    /// What a file of `llama` says about itself.
    pub fn of(llama: &Llama, name: &str, version: &str, precision: Precision) -> Self {
        let config = &llama.config;
        let report = llama.projector.as_ref().map(|(report, _)| report.clone());
        let image = report.as_ref().map(|report| ImageInput {
            encoder_width: report.encoder_width,
            grid: report.grid,
            pool: report.pool,
            hidden: report.hidden,
            encoder_sha256: report.encoder_sha256.clone(),
            max_tokens: report.max_tokens,
        });
        let report = report.unwrap_or_default();
        DecoderManifest {
            schema: DECODER_SCHEMA.to_owned(),
            name: name.to_owned(),
            version: version.to_owned(),
            precision,
            architecture: Architecture {
                vocab_size: config.vocab_size,
                hidden_size: config.hidden_size,
                intermediate_size: config.intermediate_size,
                depth: config.num_hidden_layers,
                num_heads: config.num_attention_heads,
                num_kv_heads: config.num_key_value_heads,
                head_dim: config.head_dim,
                rms_norm_eps: config.rms_norm_eps as f32,
            },
            bos_token: config.bos_token_id,
            eos_tokens: config.eos_token_ids.clone(),
            image,
            training_data: report.training_data,
            licence: report.licence,
            metrics: report.metrics,
            parent_sha256: llama.sha256.clone(),
            notice: NOTICE.to_owned(),
        }
    }
}

impl Decoder {
    /// Loads the decoder's folder `dir`.
    ///
    /// # Errors
    /// Those of [`Llama::read`] and of its tokenizer; `Usage` for an unavailable `RDE_ISA`.
    pub fn from_folder(dir: &Path) -> Result<Self> {
        let name = dir.file_name().map_or_else(|| "decoder".to_owned(), |name| name.to_string_lossy().into_owned());
        Self::from_llama(&Llama::read(dir)?, &name)
    }

    /// The decoder that a folder of `llama` would be.
    ///
    /// # Errors
    /// Those of its tokenizer; `Usage` for an unavailable `RDE_ISA`.
    pub fn from_llama(llama: &Llama, name: &str) -> Result<Self> {
        let isa = Isa::from_env().map_err(isa_error)?;
        let manifest = DecoderManifest::of(llama, name, "1", Precision::Fp32);
        let tokenizer = llama.tokenizer.as_deref().map(Tokenizer::parse).transpose()?;
        let (config, weights) = (&llama.config, &llama.weights);
        let (v, d) = (config.vocab_size, config.hidden_size);
        let projection = llama.projector.as_ref().map(|(_, p)| Projection {
            fc1: joined(&[(&p.fc1_weight, &p.fc1_bias)], p.fc1_weight.len() / p.fc1_bias.len(), |_| 1.0),
            fc2: joined(&[(&p.fc2_weight, &p.fc2_bias)], p.fc2_weight.len() / p.fc2_bias.len(), |_| 1.0),
        });
        let network = Network {
            kernels: kernels(isa).map_err(isa_error)?,
            shape: manifest.architecture.clone(),
            projection,
            blocks: weights.blocks.iter().map(|b| block(config, b)).collect(),
            norm: weights.norm.clone(),
            head: joined(&[(weights.head.as_ref().unwrap_or(&weights.embedding), &vec![0.0; v])], d, |_| 1.0),
            embedding: Embedding::F32(weights.embedding.clone()),
            frequencies: config.rope.frequencies(config.head_dim),
        };
        Ok(Decoder { network, manifest, tokenizer, sha256: llama.sha256.clone() })
    }
}

/// Layers [out, `inputs`] side by side; output j is multiplied by `scale(j)`. An empty bias is none.
fn joined(parts: &[(&[f32], &[f32])], inputs: usize, scale: impl Fn(usize) -> f32) -> Linear {
    let mut bias = vec![];
    for (weight, own) in parts {
        let outputs = weight.len() / inputs.max(1);
        bias.extend((0..outputs).map(|j| own.get(j).copied().unwrap_or(0.0)));
    }
    bias.iter_mut().enumerate().for_each(|(j, b)| *b *= scale(j));
    let weight: Vec<f32> = parts.iter().flat_map(|(weight, _)| weight.iter().copied()).collect();
    Linear::F32(PackedF32::new(inputs, bias.len(), &bias, |k, n| weight[n * inputs + k] * scale(n)))
}

fn block(config: &LlamaConfig, block: &LlamaBlock) -> Block {
    let (d, f, q) = (config.hidden_size, config.intermediate_size, config.num_attention_heads * config.head_dim);
    let query_scale = 1.0 / (config.head_dim as f32).sqrt();
    fn part(p: &(Vec<f32>, Vec<f32>)) -> (&[f32], &[f32]) {
        (&p.0, &p.1)
    }
    let qkv = [part(&block.query), part(&block.key), part(&block.value)];
    Block {
        norm1: block.norm1.clone(),
        qkv: joined(&qkv, d, |j| if j < q { query_scale } else { 1.0 }),
        output: joined(&[part(&block.output)], q, |_| 1.0),
        norm2: block.norm2.clone(),
        gate_up: joined(&[part(&block.gate), part(&block.up)], d, |_| 1.0),
        down: joined(&[part(&block.down)], f, |_| 1.0),
    }
}
