//! Random weights of real shapes: what is timed must not need a download.

use rad_dino_edge::checkpoint::{BlockWeights, Config, EncoderWeights, FeedForward};

/// A plain DINOv2 encoder of width D, `depth` blocks, patch 14, 518 px grid, seeded.
pub fn encoder(width: usize, depth: usize, seed: u64) -> EncoderWeights {
    let mut random = Random(seed | 1);
    let config = Config {
        model_type: "dinov2".into(),
        hidden_size: width,
        num_hidden_layers: depth,
        num_attention_heads: width / 64,
        mlp_ratio: 4.0,
        image_size: 518,
        patch_size: 14,
        layer_norm_eps: 1e-6,
        qkv_bias: true,
        use_swiglu_ffn: false,
        num_register_tokens: 0,
    };
    let block = |random: &mut Random| BlockWeights {
        norm1_weight: vec![1.0; width],
        norm1_bias: vec![0.0; width],
        query_weight: random.normal(width * width),
        query_bias: random.normal(width),
        key_weight: random.normal(width * width),
        key_bias: random.normal(width),
        value_weight: random.normal(width * width),
        value_bias: random.normal(width),
        output_weight: random.normal(width * width),
        output_bias: random.normal(width),
        layer_scale1: vec![1.0; width],
        norm2_weight: vec![1.0; width],
        norm2_bias: vec![0.0; width],
        feed_forward: FeedForward::Mlp {
            fc1_weight: random.normal(4 * width * width),
            fc1_bias: random.normal(4 * width),
            fc2_weight: random.normal(4 * width * width),
            fc2_bias: random.normal(width),
        },
        layer_scale2: vec![1.0; width],
    };
    EncoderWeights {
        cls_token: random.normal(width),
        mask_token: vec![0.0; width],
        register_tokens: vec![],
        position_embeddings: random.normal((1 + 37 * 37) * width),
        patch_weight: random.normal(width * 3 * 14 * 14),
        patch_bias: random.normal(width),
        blocks: (0..depth).map(|_| block(&mut random)).collect(),
        norm_weight: vec![1.0; width],
        norm_bias: vec![0.0; width],
        config,
    }
}

/// Pixel values of `n` images of side `size`.
pub fn pixels(n: usize, size: usize) -> Vec<f32> {
    Random(9).normal(n * 3 * size * size).into_iter().map(|x| x * 50.0).collect()
}

struct Random(u64);

impl Random {
    /// Roughly normal with standard deviation 0.02 (sum of four uniforms).
    fn normal(&mut self, n: usize) -> Vec<f32> {
        let mut uniform = || {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        (0..n).map(|_| (uniform() + uniform() + uniform() + uniform()) * 0.0346).collect()
    }
}
