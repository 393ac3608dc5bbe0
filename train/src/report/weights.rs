//! Between checkpoint folders and burn.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rad_dino_edge::checkpoint::{self, LlamaBlock, LlamaConfig, LlamaWeights, Rope};

use super::Config;
use super::model::{Block, Decoder, Projector, RmsNorm, Writer};
use crate::random::Random;
use crate::vit::initial::truncated_normal;
use crate::vit::linear::{linear, matrix, transposed, values, vector};

/// The decoder of `config` for a vocabulary of `tokens`, whose first and last tokens are `start` and `end`.
pub fn fresh_config(config: &Config, tokens: usize, start: u32, end: u32) -> LlamaConfig {
    LlamaConfig {
        vocab_size: tokens,
        hidden_size: config.width,
        intermediate_size: config.feed_forward,
        num_hidden_layers: config.layers,
        num_attention_heads: config.heads,
        num_key_value_heads: config.kv_heads,
        head_dim: config.width / config.heads,
        rms_norm_eps: 1e-6,
        rope: Rope::Default { theta: 10_000.0 },
        tie_word_embeddings: true,
        attention_bias: false,
        mlp_bias: false,
        max_position_embeddings: 2048,
        bos_token_id: Some(start),
        eos_token_ids: vec![end],
    }
}

/// Fresh weights: normal, σ = 0.02, cut at 2σ; the two projections back into the stream smaller by √(2·layers).
pub fn fresh(config: &LlamaConfig, seed: u64) -> LlamaWeights {
    let mut random = Random::stream(seed, 0x6465_636f);
    let (v, d, f) = (config.vocab_size, config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
    let back = 1.0 / (2.0 * config.num_hidden_layers as f32).sqrt();
    let mut layer = |n: usize, scale: f32| {
        let weight = truncated_normal(n, &mut random).into_iter().map(|w| w * scale).collect();
        (weight, vec![])
    };
    let embedding = layer(v * d, 1.0).0;
    let blocks = (0..config.num_hidden_layers)
        .map(|_| LlamaBlock {
            norm1: vec![1.0; d],
            query: layer(q * d, 1.0),
            key: layer(kv * d, 1.0),
            value: layer(kv * d, 1.0),
            output: layer(d * q, back),
            norm2: vec![1.0; d],
            gate: layer(f * d, 1.0),
            up: layer(f * d, 1.0),
            down: layer(d * f, back),
        })
        .collect();
    LlamaWeights {
        embedding,
        blocks,
        norm: vec![1.0; d],
        head: (!config.tie_word_embeddings).then(|| layer(v * d, 1.0).0),
    }
}

/// A fresh projector from `inputs` over `hidden` to `outputs`.
pub fn fresh_projector(inputs: usize, hidden: usize, outputs: usize, seed: u64) -> checkpoint::Projector {
    let mut random = Random::stream(seed, 0x7072_6f6a);
    let mut layer = |n: usize, inputs: usize, size: f32| -> Vec<f32> {
        let scale = size / (0.02 * (inputs as f32).sqrt());
        truncated_normal(n, &mut random).into_iter().map(|w| w * scale).collect()
    };
    checkpoint::Projector {
        // tokens of unit variance stay so, and end as large as the rows of the embedding
        fc1_weight: layer(hidden * inputs, inputs, 1.0),
        fc1_bias: vec![0.0; hidden],
        fc2_weight: layer(outputs * hidden, hidden, 0.04),
        fc2_bias: vec![0.0; outputs],
    }
}

impl<B: Backend> Writer<B> {
    /// From what a folder holds.
    pub fn from_weights(
        config: &LlamaConfig,
        weights: &LlamaWeights,
        projector: &checkpoint::Projector,
        device: &B::Device,
    ) -> Self {
        let (v, d, f) = (config.vocab_size, config.hidden_size, config.intermediate_size);
        let norm = |gamma: &[f32]| RmsNorm { gamma: vector(gamma, device), epsilon: config.rms_norm_eps };
        let layer = |part: &(Vec<f32>, Vec<f32>), inputs: usize| -> Linear<B> {
            linear(&part.0, (!part.1.is_empty()).then_some(&part.1[..]), inputs, device)
        };
        let blocks = weights.blocks.iter().map(|block| Block {
            norm1: norm(&block.norm1),
            query: layer(&block.query, d),
            key: layer(&block.key, d),
            value: layer(&block.value, d),
            output: layer(&block.output, config.num_attention_heads * config.head_dim),
            norm2: norm(&block.norm2),
            gate: layer(&block.gate, d),
            up: layer(&block.up, d),
            down: layer(&block.down, f),
            heads: config.num_attention_heads,
            kv_heads: config.num_key_value_heads,
        });
        let hidden = projector.fc1_bias.len();
        Writer {
            projector: Projector {
                fc1: linear(
                    &projector.fc1_weight,
                    Some(&projector.fc1_bias),
                    projector.fc1_weight.len() / hidden,
                    device,
                ),
                fc2: linear(&projector.fc2_weight, Some(&projector.fc2_bias), hidden, device),
            },
            decoder: Decoder {
                embedding: matrix(&weights.embedding, v, d, device),
                blocks: blocks.collect(),
                norm: norm(&weights.norm),
                head: weights.head.as_ref().map(|head| matrix(head, v, d, device)),
                frequencies: config.rope.frequencies(config.head_dim),
            },
            findings: None,
        }
    }

    /// Back to what a folder holds.
    pub fn to_weights(&self) -> (LlamaWeights, checkpoint::Projector) {
        let decoder = &self.decoder;
        let blocks = decoder.blocks.iter().map(|block| LlamaBlock {
            norm1: plain(&block.norm1.gamma),
            query: rows(&block.query),
            key: rows(&block.key),
            value: rows(&block.value),
            output: rows(&block.output),
            norm2: plain(&block.norm2.gamma),
            gate: rows(&block.gate),
            up: rows(&block.up),
            down: rows(&block.down),
        });
        let weights = LlamaWeights {
            embedding: values(decoder.embedding.val()),
            blocks: blocks.collect(),
            norm: plain(&decoder.norm.gamma),
            head: decoder.head.as_ref().map(|head| values(head.val())),
        };
        let ((fc1_weight, fc1_bias), (fc2_weight, fc2_bias)) = (rows(&self.projector.fc1), rows(&self.projector.fc2));
        (weights, checkpoint::Projector { fc1_weight, fc1_bias, fc2_weight, fc2_bias })
    }
}

fn plain<B: Backend>(param: &Param<Tensor<B, 1>>) -> Vec<f32> {
    values(param.val())
}

/// Weight [out, in] and bias.
fn rows<B: Backend>(layer: &Linear<B>) -> (Vec<f32>, Vec<f32>) {
    let [inputs, outputs] = layer.weight.dims();
    let weight = transposed(&values(layer.weight.val()), inputs, outputs);
    (weight, layer.bias.as_ref().map(|bias| values(bias.val())).unwrap_or_default())
}
