//! The encoder's weights as f32, in one canonical naming, whatever the file called them.

use super::Config;
use crate::error::{Error, ErrorKind, Result};

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

impl EncoderWeights {
    /// Checks every tensor's length against the config; an error names the tensor as the published files do.
    pub fn check(&self) -> Result<()> {
        self.config.check()?;
        let d = self.config.hidden_size;
        let patch = self.config.patch_size;
        let expect = |name: &str, values: &[f32], expected: usize| {
            if values.len() == expected {
                return Ok(());
            }
            let message = format!("tensor {name} has {} values, expected {expected}", values.len());
            Err(Error::new(ErrorKind::Checkpoint, message).hint("the config and the weights must belong together"))
        };
        expect("embeddings.cls_token", &self.cls_token, d)?;
        expect("embeddings.mask_token", &self.mask_token, d)?;
        expect("embeddings.register_tokens", &self.register_tokens, d * self.config.num_register_tokens)?;
        let rows = self.config.grid() * self.config.grid() + 1;
        expect("embeddings.position_embeddings", &self.position_embeddings, d * rows)?;
        expect("embeddings.patch_embeddings.projection.weight", &self.patch_weight, d * 3 * patch * patch)?;
        expect("embeddings.patch_embeddings.projection.bias", &self.patch_bias, d)?;
        expect("layernorm.weight", &self.norm_weight, d)?;
        expect("layernorm.bias", &self.norm_bias, d)?;
        expect_layers(self.blocks.len(), self.config.num_hidden_layers)?;
        for (i, block) in self.blocks.iter().enumerate() {
            for (name, values, expected) in block.lengths(&self.config)? {
                expect(&format!("encoder.layer.{i}.{name}"), values, expected)?;
            }
        }
        Ok(())
    }
}

fn expect_layers(found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Checkpoint, format!("{found} layers, expected {expected}"))
        .hint("config.json and the weights must belong together"))
}

impl BlockWeights {
    /// Name, values and expected length of every tensor; an error when the feed-forward layer is of the other kind.
    fn lengths(&self, config: &Config) -> Result<Vec<(&'static str, &[f32], usize)>> {
        let (d, f) = (config.hidden_size, config.mlp_dim());
        let mut list: Vec<(&'static str, &[f32], usize)> = vec![
            ("norm1.weight", &self.norm1_weight, d),
            ("norm1.bias", &self.norm1_bias, d),
            ("attention.attention.query.weight", &self.query_weight, d * d),
            ("attention.attention.query.bias", &self.query_bias, d),
            ("attention.attention.key.weight", &self.key_weight, d * d),
            ("attention.attention.key.bias", &self.key_bias, d),
            ("attention.attention.value.weight", &self.value_weight, d * d),
            ("attention.attention.value.bias", &self.value_bias, d),
            ("attention.output.dense.weight", &self.output_weight, d * d),
            ("attention.output.dense.bias", &self.output_bias, d),
            ("layer_scale1.lambda1", &self.layer_scale1, d),
            ("norm2.weight", &self.norm2_weight, d),
            ("norm2.bias", &self.norm2_bias, d),
            ("layer_scale2.lambda1", &self.layer_scale2, d),
        ];
        match (&self.feed_forward, config.use_swiglu_ffn) {
            (FeedForward::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias }, false) => list.extend([
                ("mlp.fc1.weight", fc1_weight.as_slice(), f * d),
                ("mlp.fc1.bias", fc1_bias, f),
                ("mlp.fc2.weight", fc2_weight, d * f),
                ("mlp.fc2.bias", fc2_bias, d),
            ]),
            (FeedForward::SwiGlu { in_weight, in_bias, out_weight, out_bias }, true) => list.extend([
                ("mlp.weights_in.weight", in_weight.as_slice(), 2 * f * d),
                ("mlp.weights_in.bias", in_bias, 2 * f),
                ("mlp.weights_out.weight", out_weight, d * f),
                ("mlp.weights_out.bias", out_bias, d),
            ]),
            _ => {
                let message = "the feed-forward layers and use_swiglu_ffn disagree";
                return Err(
                    Error::new(ErrorKind::Checkpoint, message).hint("config.json and the weights must belong together")
                );
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// D = 12, two blocks, reproducible values.
    pub fn random(seed: u64) -> EncoderWeights {
        let text = r#"{"model_type":"dinov2_with_registers","hidden_size":12,"num_hidden_layers":2,
            "num_attention_heads":3,"mlp_ratio":2,"image_size":8,"patch_size":2,"num_register_tokens":2}"#;
        let config = Config::from_json(text).unwrap();
        let (d, f, rows) = (12, 24, 17);
        let mut state = seed;
        let mut values = |n: usize| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            };
            (0..n).map(|_| next()).collect()
        };
        let mut block = || BlockWeights {
            norm1_weight: values(d),
            norm1_bias: values(d),
            query_weight: values(d * d),
            query_bias: values(d),
            key_weight: values(d * d),
            key_bias: values(d),
            value_weight: values(d * d),
            value_bias: values(d),
            output_weight: values(d * d),
            output_bias: values(d),
            layer_scale1: values(d),
            norm2_weight: values(d),
            norm2_bias: values(d),
            feed_forward: FeedForward::Mlp {
                fc1_weight: values(f * d),
                fc1_bias: values(f),
                fc2_weight: values(d * f),
                fc2_bias: values(d),
            },
            layer_scale2: values(d),
        };
        let blocks = vec![block(), block()];
        EncoderWeights {
            config,
            cls_token: values(d),
            mask_token: values(d),
            register_tokens: values(2 * d),
            position_embeddings: values(rows * d),
            patch_weight: values(d * 12),
            patch_bias: values(d),
            blocks,
            norm_weight: values(d),
            norm_bias: values(d),
        }
    }

    #[test]
    fn every_wrong_length_is_named() {
        assert!(random(1).check().is_ok());
        type Change = fn(&mut EncoderWeights);
        let broken: [(&str, Change); 7] = [
            ("embeddings.cls_token", |w| w.cls_token.truncate(11)),
            ("embeddings.register_tokens", |w| w.config.num_register_tokens = 3),
            ("embeddings.position_embeddings", |w| w.config.image_size = 10),
            ("layernorm.bias", |w| w.norm_bias.push(0.0)),
            ("1 layers, expected 2", |w| w.blocks.truncate(1)),
            ("encoder.layer.1.attention.attention.key.bias", |w| w.blocks[1].key_bias.truncate(3)),
            ("use_swiglu_ffn", |w| w.config.use_swiglu_ffn = true),
        ];
        for (word, change) in broken {
            let mut weights = random(2);
            change(&mut weights);
            let error = weights.check().unwrap_err();
            assert!(error.message().contains(word), "{word}: {error}");
        }
    }
}
