//! All weights of a Llama-architecture decoder.

use super::super::tensors::Reader;
use super::LlamaConfig;
use crate::error::Result;

/// Weights as the checkpoint has them: linear layers [out, in].
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaWeights {
    /// `model.embed_tokens.weight` [V, D]
    pub embedding: Vec<f32>,
    /// In order.
    pub blocks: Vec<LlamaBlock>,
    /// `model.norm.weight` [D]
    pub norm: Vec<f32>,
    /// `lm_head.weight` [V, D]; None when it is the embedding.
    pub head: Option<Vec<f32>>,
}

/// One block. Biases are empty where the config has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LlamaBlock {
    /// `input_layernorm.weight` [D]
    pub norm1: Vec<f32>,
    /// `self_attn.q_proj` [H·hd, D] and bias.
    pub query: (Vec<f32>, Vec<f32>),
    /// `self_attn.k_proj` [KV·hd, D] and bias.
    pub key: (Vec<f32>, Vec<f32>),
    /// `self_attn.v_proj` [KV·hd, D] and bias.
    pub value: (Vec<f32>, Vec<f32>),
    /// `self_attn.o_proj` [D, H·hd] and bias.
    pub output: (Vec<f32>, Vec<f32>),
    /// `post_attention_layernorm.weight` [D]
    pub norm2: Vec<f32>,
    /// `mlp.gate_proj` [F, D] and bias.
    pub gate: (Vec<f32>, Vec<f32>),
    /// `mlp.up_proj` [F, D] and bias.
    pub up: (Vec<f32>, Vec<f32>),
    /// `mlp.down_proj` [D, F] and bias.
    pub down: (Vec<f32>, Vec<f32>),
}

/// A tensor's name, shape and values.
pub(super) type Named<'a> = (String, Vec<usize>, &'a [f32]);

impl LlamaWeights {
    pub(super) fn read(reader: &mut Reader<'_>, config: &LlamaConfig) -> Result<Self> {
        let (v, d) = (config.vocab_size, config.hidden_size);
        let embedding = reader.take(&["model.embed_tokens.weight"], &[v, d])?;
        let blocks =
            (0..config.num_hidden_layers).map(|i| LlamaBlock::read(reader, config, i)).collect::<Result<_>>()?;
        let norm = reader.take(&["model.norm.weight"], &[d])?;
        let head = match config.tie_word_embeddings {
            true => {
                // some writers store the tied table twice
                if reader.has(&["lm_head.weight"]) {
                    reader.take(&["lm_head.weight"], &[v, d])?;
                }
                None
            }
            false => Some(reader.take(&["lm_head.weight"], &[v, d])?),
        };
        Ok(LlamaWeights { embedding, blocks, norm, head })
    }

    pub(super) fn tensors(&self, config: &LlamaConfig) -> Vec<Named<'_>> {
        let (v, d) = (config.vocab_size, config.hidden_size);
        let mut all: Vec<Named<'_>> = vec![
            ("model.embed_tokens.weight".into(), vec![v, d], &self.embedding),
            ("model.norm.weight".into(), vec![d], &self.norm),
        ];
        all.extend(self.head.iter().map(|head| ("lm_head.weight".into(), vec![v, d], &head[..])));
        for (i, block) in self.blocks.iter().enumerate() {
            all.extend(block.tensors(config, i));
        }
        all
    }
}

/// Name, outputs, inputs and whether there is a bias of each linear layer.
fn layers(config: &LlamaConfig) -> [(&'static str, usize, usize, bool); 7] {
    let (d, f) = (config.hidden_size, config.intermediate_size);
    let q = config.num_attention_heads * config.head_dim;
    let kv = config.num_key_value_heads * config.head_dim;
    let (attention, mlp) = (config.attention_bias, config.mlp_bias);
    [
        ("self_attn.q_proj", q, d, attention),
        ("self_attn.k_proj", kv, d, attention),
        ("self_attn.v_proj", kv, d, attention),
        ("self_attn.o_proj", d, q, attention),
        ("mlp.gate_proj", f, d, mlp),
        ("mlp.up_proj", f, d, mlp),
        ("mlp.down_proj", d, f, mlp),
    ]
}

const NORMS: [&str; 2] = ["input_layernorm.weight", "post_attention_layernorm.weight"];

impl LlamaBlock {
    fn read(reader: &mut Reader<'_>, config: &LlamaConfig, i: usize) -> Result<Self> {
        let name = |part: &str| format!("model.layers.{i}.{part}");
        let mut linear = Vec::with_capacity(7);
        for (part, outputs, inputs, bias) in layers(config) {
            let weight = reader.take(&[&name(&format!("{part}.weight"))], &[outputs, inputs])?;
            let bias = match bias {
                true => reader.take(&[&name(&format!("{part}.bias"))], &[outputs])?,
                false => vec![],
            };
            linear.push((weight, bias));
        }
        let buffer = name("self_attn.rotary_emb.inv_freq");
        if reader.has(&[&buffer]) {
            // a buffer of old checkpoints, implied by the config
            reader.take(&[&buffer], &[config.head_dim / 2])?;
        }
        let mut norms = [vec![], vec![]];
        for (norm, part) in norms.iter_mut().zip(NORMS) {
            *norm = reader.take(&[&name(part)], &[config.hidden_size])?;
        }
        let mut linear = linear.into_iter();
        let mut next = || linear.next().unwrap_or_default();
        let [norm1, norm2] = norms;
        Ok(LlamaBlock {
            norm1,
            query: next(),
            key: next(),
            value: next(),
            output: next(),
            norm2,
            gate: next(),
            up: next(),
            down: next(),
        })
    }

    fn tensors(&self, config: &LlamaConfig, i: usize) -> Vec<Named<'_>> {
        let name = |part: &str| format!("model.layers.{i}.{part}");
        let d = config.hidden_size;
        let mut all: Vec<Named<'_>> =
            vec![(name(NORMS[0]), vec![d], &self.norm1), (name(NORMS[1]), vec![d], &self.norm2)];
        let parts = [&self.query, &self.key, &self.value, &self.output, &self.gate, &self.up, &self.down];
        for ((part, outputs, inputs, bias), (weight, values)) in layers(config).into_iter().zip(parts) {
            all.push((name(&format!("{part}.weight")), vec![outputs, inputs], weight));
            if bias {
                all.push((name(&format!("{part}.bias")), vec![outputs], values));
            }
        }
        all
    }
}
