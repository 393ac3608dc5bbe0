//! The floor with an untrained encoder: random weights of the same shape.

use rad_dino_edge::Result;
use rad_dino_edge::checkpoint::{BlockWeights, Config, EncoderWeights, FeedForward};
use rad_dino_edge::model::manifest::Architecture;

use crate::random::Random;

/// Seed of the weights.
pub const SEED: u64 = 0x0f10_0000;
/// Standard deviation of weights (truncated normal in DINOv2; biases 0, norms 1).
const DEVIATION: f64 = 0.02;

/// What the weights are drawn for.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Shape of the network.
    pub config: Config,
    /// Seed.
    pub seed: u64,
}

impl Shape {
    /// The shape of a checkpoint.
    pub fn of_config(config: &Config) -> Self {
        Shape { config: config.clone(), seed: SEED }
    }

    /// The shape a model file states. The feed-forward layer is a GELU MLP.
    pub fn of_architecture(architecture: &Architecture) -> Self {
        let config = Config {
            model_type: architecture.family.clone(),
            hidden_size: architecture.embed_dim,
            num_hidden_layers: architecture.depth,
            num_attention_heads: architecture.num_heads,
            mlp_ratio: architecture.mlp_dim as f64 / architecture.embed_dim.max(1) as f64,
            image_size: architecture.image_size,
            patch_size: architecture.patch_size,
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            use_swiglu_ffn: false,
            num_register_tokens: architecture.num_register_tokens,
        };
        Shape { config, seed: SEED }
    }
}

/// Random weights as a network is initialised before training, LayerScale 1.
///
/// # Errors
/// When the config makes no sense.
pub fn weights(shape: &Shape) -> Result<EncoderWeights> {
    let config = shape.config.clone();
    config.check()?;
    let mut random = Random::new(shape.seed);
    let (d, p) = (config.hidden_size, config.patch_size);
    let grid = config.grid();
    let mut normal = |n: usize| (0..n).map(|_| (DEVIATION * truncated(&mut random)) as f32).collect::<Vec<f32>>();
    let (zeros, ones) = (|n: usize| vec![0.0f32; n], |n: usize| vec![1.0f32; n]);
    let mut weights = EncoderWeights {
        cls_token: normal(d),
        mask_token: zeros(d),
        register_tokens: normal(config.num_register_tokens * d),
        position_embeddings: normal((1 + grid * grid) * d),
        patch_weight: normal(d * 3 * p * p),
        patch_bias: zeros(d),
        blocks: Vec::new(),
        norm_weight: ones(d),
        norm_bias: zeros(d),
        config,
    };
    let f = weights.config.mlp_dim();
    for _ in 0..weights.config.num_hidden_layers {
        let feed_forward = if weights.config.use_swiglu_ffn {
            FeedForward::SwiGlu {
                in_weight: normal(2 * f * d),
                in_bias: zeros(2 * f),
                out_weight: normal(d * f),
                out_bias: zeros(d),
            }
        } else {
            FeedForward::Mlp {
                fc1_weight: normal(f * d),
                fc1_bias: zeros(f),
                fc2_weight: normal(d * f),
                fc2_bias: zeros(d),
            }
        };
        weights.blocks.push(BlockWeights {
            norm1_weight: ones(d),
            norm1_bias: zeros(d),
            query_weight: normal(d * d),
            query_bias: zeros(d),
            key_weight: normal(d * d),
            key_bias: zeros(d),
            value_weight: normal(d * d),
            value_bias: zeros(d),
            output_weight: normal(d * d),
            output_bias: zeros(d),
            layer_scale1: ones(d),
            norm2_weight: ones(d),
            norm2_bias: zeros(d),
            feed_forward,
            layer_scale2: ones(d),
        });
    }
    weights.check()?;
    Ok(weights)
}

/// Standard normal within two deviations.
fn truncated(random: &mut Random) -> f64 {
    loop {
        let x = random.normal();
        if x.abs() <= 2.0 {
            return x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_by_seed_and_fits_its_shape() {
        let architecture = Architecture {
            family: "dinov2_with_registers".to_owned(),
            image_size: 28,
            patch_size: 14,
            embed_dim: 16,
            depth: 2,
            num_heads: 2,
            mlp_dim: 40,
            num_register_tokens: 3,
        };
        let shape = Shape::of_architecture(&architecture);
        let a = weights(&shape).unwrap();
        assert_eq!(a, weights(&shape).unwrap());
        assert_ne!(a, weights(&Shape { seed: 1, ..shape }).unwrap());
        assert_eq!((a.blocks.len(), a.position_embeddings.len(), a.config.mlp_dim()), (2, 5 * 16, 40));
        let deviation = (a.patch_weight.iter().map(|x| x * x).sum::<f32>() / a.patch_weight.len() as f32).sqrt();
        assert!((0.016..0.019).contains(&deviation), "{deviation}");
    }
}
