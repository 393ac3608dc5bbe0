//! A fresh encoder, initialised as DINOv2 does.

use rad_dino_edge::checkpoint::{BlockWeights, Config, EncoderWeights, FeedForward};

use crate::random::Random;

/// LayerScale of a fresh network.
const LAYER_SCALE: f32 = 1e-5;

/// Linear layers and positions: normal, σ = 0.02, cut at 2σ; CLS and registers: normal, σ = 1e-6; biases and the mask
/// token 0; norms 1; LayerScale 1e-5. Reproducible from `seed`.
pub fn encoder(config: &Config, seed: u64) -> EncoderWeights {
    let mut random = Random::new(seed);
    let (d, f, r, p) = (config.hidden_size, config.mlp_dim(), config.num_register_tokens, config.patch_size);
    let rows = config.grid() * config.grid() + 1;
    EncoderWeights {
        config: config.clone(),
        cls_token: (0..d).map(|_| random.normal() as f32 * 1e-6).collect(),
        mask_token: vec![0.0; d],
        register_tokens: (0..r * d).map(|_| random.normal() as f32 * 1e-6).collect(),
        position_embeddings: truncated_normal(rows * d, &mut random),
        patch_weight: truncated_normal(d * 3 * p * p, &mut random),
        patch_bias: vec![0.0; d],
        blocks: (0..config.num_hidden_layers).map(|_| block(config, d, f, &mut random)).collect(),
        norm_weight: vec![1.0; d],
        norm_bias: vec![0.0; d],
    }
}

fn block(config: &Config, d: usize, f: usize, random: &mut Random) -> BlockWeights {
    let mut linear = |n: usize| truncated_normal(n, random);
    BlockWeights {
        norm1_weight: vec![1.0; d],
        norm1_bias: vec![0.0; d],
        query_weight: linear(d * d),
        query_bias: vec![0.0; d],
        key_weight: linear(d * d),
        key_bias: vec![0.0; d],
        value_weight: linear(d * d),
        value_bias: vec![0.0; d],
        output_weight: linear(d * d),
        output_bias: vec![0.0; d],
        layer_scale1: vec![LAYER_SCALE; d],
        norm2_weight: vec![1.0; d],
        norm2_bias: vec![0.0; d],
        feed_forward: if config.use_swiglu_ffn {
            FeedForward::SwiGlu {
                in_weight: linear(2 * f * d),
                in_bias: vec![0.0; 2 * f],
                out_weight: linear(d * f),
                out_bias: vec![0.0; d],
            }
        } else {
            FeedForward::Mlp {
                fc1_weight: linear(f * d),
                fc1_bias: vec![0.0; f],
                fc2_weight: linear(d * f),
                fc2_bias: vec![0.0; d],
            }
        },
        layer_scale2: vec![LAYER_SCALE; d],
    }
}

/// Normal with σ = 0.02, redrawn beyond 2σ.
pub fn truncated_normal(n: usize, random: &mut Random) -> Vec<f32> {
    (0..n)
        .map(|_| {
            loop {
                let z = random.normal();
                if z.abs() <= 2.0 {
                    return (z * 0.02) as f32;
                }
            }
        })
        .collect()
}
