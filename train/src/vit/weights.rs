//! Between the encoder here and checkpoint weights.

use burn::nn::Linear;
use burn::tensor::backend::Backend;
use rad_dino_edge::Result;
use rad_dino_edge::checkpoint::{BlockWeights, Config, EncoderWeights, FeedForward as Stored};

use super::attention::Attention;
use super::block::Block;
use super::encoder::Encoder;
use super::layer_scale::LayerScale;
use super::linear::{layer_norm, linear, matrix, transposed, values, vector};
use super::mlp::{FeedForward, Mlp, SwiGlu};
use super::patch_embed::PatchEmbed;
use super::position::PositionGrids;
use super::precision::Precision;

impl<B: Backend> Encoder<B> {
    /// From checkpoint weights.
    ///
    /// # Errors
    /// `Checkpoint` when a tensor's length does not fit the config; it is named.
    pub fn from_weights(weights: &EncoderWeights, device: &B::Device) -> Result<Self> {
        weights.check()?;
        let config = &weights.config;
        let (d, r) = (config.hidden_size, config.num_register_tokens);
        Ok(Encoder {
            cls_token: matrix(&weights.cls_token, 1, d, device),
            mask_token: matrix(&weights.mask_token, 1, d, device),
            register_tokens: (r > 0).then(|| matrix(&weights.register_tokens, r, d, device)),
            position_embeddings: matrix(&weights.position_embeddings, config.grid() * config.grid() + 1, d, device),
            patch_embed: PatchEmbed {
                projection: linear(
                    &weights.patch_weight,
                    Some(&weights.patch_bias),
                    3 * config.patch_size * config.patch_size,
                    device,
                ),
                patch_size: config.patch_size,
            },
            blocks: weights.blocks.iter().map(|block| load_block(block, config, device)).collect(),
            norm: layer_norm(&weights.norm_weight, &weights.norm_bias, config.layer_norm_eps, device),
            positions: PositionGrids::new(config),
            precision: Precision::F32,
        })
    }

    /// As checkpoint weights of `config`, the one it was made from.
    ///
    /// # Errors
    /// `Checkpoint` when `config` is another network's.
    pub fn to_weights(&self, config: &Config) -> Result<EncoderWeights> {
        let (patch_weight, patch_bias) = store_linear(&self.patch_embed.projection);
        let weights = EncoderWeights {
            config: config.clone(),
            cls_token: values(self.cls_token.val()),
            mask_token: values(self.mask_token.val()),
            register_tokens: self.register_tokens.as_ref().map_or_else(Vec::new, |tokens| values(tokens.val())),
            position_embeddings: values(self.position_embeddings.val()),
            patch_weight,
            patch_bias,
            blocks: self.blocks.iter().map(store_block).collect(),
            norm_weight: values(self.norm.gamma.val()),
            norm_bias: beta(&self.norm),
        };
        weights.check()?;
        Ok(weights)
    }
}

fn load_block<B: Backend>(block: &BlockWeights, config: &Config, device: &B::Device) -> Block<B> {
    let (d, eps) = (config.hidden_size, config.layer_norm_eps);
    let weight = [&block.query_weight[..], &block.key_weight, &block.value_weight].concat();
    let bias = [&block.query_bias[..], &block.key_bias, &block.value_bias].concat();
    let feed_forward = match &block.feed_forward {
        Stored::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias } => FeedForward::Mlp(Mlp {
            fc1: linear(fc1_weight, Some(fc1_bias), d, device),
            fc2: linear(fc2_weight, Some(fc2_bias), config.mlp_dim(), device),
        }),
        Stored::SwiGlu { in_weight, in_bias, out_weight, out_bias } => FeedForward::SwiGlu(SwiGlu {
            weights_in: linear(in_weight, Some(in_bias), d, device),
            weights_out: linear(out_weight, Some(out_bias), config.mlp_dim(), device),
        }),
    };
    Block {
        norm1: layer_norm(&block.norm1_weight, &block.norm1_bias, eps, device),
        attention: Attention {
            qkv: linear(&weight, config.qkv_bias.then_some(&bias[..]), d, device),
            output: linear(&block.output_weight, Some(&block.output_bias), d, device),
            heads: config.num_attention_heads,
        },
        layer_scale1: LayerScale { lambda: vector(&block.layer_scale1, device) },
        norm2: layer_norm(&block.norm2_weight, &block.norm2_bias, eps, device),
        feed_forward,
        layer_scale2: LayerScale { lambda: vector(&block.layer_scale2, device) },
    }
}

fn store_block<B: Backend>(block: &Block<B>) -> BlockWeights {
    let (qkv, bias) = store_linear(&block.attention.qkv);
    let d = block.layer_scale1.lambda.dims()[0];
    let thirds = |values: &[f32]| -> [Vec<f32>; 3] {
        let third = values.len() / 3;
        std::array::from_fn(|i| values[i * third..(i + 1) * third].to_vec())
    };
    let [query_weight, key_weight, value_weight] = thirds(&qkv);
    let [query_bias, key_bias, value_bias] = thirds(&if bias.is_empty() { vec![0.0; 3 * d] } else { bias });
    let (output_weight, output_bias) = store_linear(&block.attention.output);
    let feed_forward = match &block.feed_forward {
        FeedForward::Mlp(mlp) => {
            let (fc1_weight, fc1_bias) = store_linear(&mlp.fc1);
            let (fc2_weight, fc2_bias) = store_linear(&mlp.fc2);
            Stored::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias }
        }
        FeedForward::SwiGlu(gated) => {
            let (in_weight, in_bias) = store_linear(&gated.weights_in);
            let (out_weight, out_bias) = store_linear(&gated.weights_out);
            Stored::SwiGlu { in_weight, in_bias, out_weight, out_bias }
        }
    };
    BlockWeights {
        norm1_weight: values(block.norm1.gamma.val()),
        norm1_bias: beta(&block.norm1),
        query_weight,
        query_bias,
        key_weight,
        key_bias,
        value_weight,
        value_bias,
        output_weight,
        output_bias,
        layer_scale1: values(block.layer_scale1.lambda.val()),
        norm2_weight: values(block.norm2.gamma.val()),
        norm2_bias: beta(&block.norm2),
        feed_forward,
        layer_scale2: values(block.layer_scale2.lambda.val()),
    }
}

/// Weight [out, in] and bias, empty where there is none.
fn store_linear<B: Backend>(layer: &Linear<B>) -> (Vec<f32>, Vec<f32>) {
    let [inputs, outputs] = layer.weight.dims();
    let weight = transposed(&values(layer.weight.val()), inputs, outputs);
    (weight, layer.bias.as_ref().map_or_else(Vec::new, |bias| values(bias.val())))
}

fn beta<B: Backend>(norm: &burn::nn::LayerNorm<B>) -> Vec<f32> {
    norm.beta.as_ref().map_or_else(Vec::new, |beta| values(beta.val()))
}
