//! Parts straight from a checkpoint's weights, in f32, folded as `convert` folds them.

use rad_dino_kernels::PackedF32;

use super::block::{Activation, Block};
use super::heads::{Head, Heads};
use super::linear::Linear;
use super::norm::LayerNorm;
use super::parts::Parts;
use super::patch_embed::PatchEmbed;
use super::segmentation::Segmentation;
use crate::checkpoint::{BlockWeights, Config, EncoderWeights, FeedForward, ProbeHead, Probes, SegmentationHead};
use crate::model::manifest;

/// The parts of `weights` for `grid`×`grid` patches, whose interpolated table `positions` is [1+P, D].
/// Shapes were checked when the checkpoint was read.
pub fn parts(weights: &EncoderWeights, positions: &[f32], grid: usize, probes: Option<&Probes>) -> Parts {
    let config = &weights.config;
    let (width, p) = (config.hidden_size, config.patch_size);
    let k = 3 * p * p;
    let mut prefix: Vec<f32> = weights.cls_token.iter().zip(positions).map(|(cls, position)| cls + position).collect();
    prefix.extend_from_slice(&weights.register_tokens);
    let prefix_tokens = prefix.len() / width;
    let patch_embed = PatchEmbed {
        projection: PackedF32::new(k, width, &weights.patch_bias, |i, j| weights.patch_weight[j * k + i]),
        prefix,
        positions: positions[width..].to_vec(),
        patch_size: p,
        grid,
    };
    let last = weights.blocks.len().wrapping_sub(1);
    let blocks =
        weights.blocks.iter().enumerate().map(|(i, b)| ("EncoderBlock", block(config, b, i == last))).collect();
    let final_norm = norm(config, &weights.norm_weight, &weights.norm_bias);
    let heads = probes.map(|probes| heads(probes, width, prefix_tokens, grid));
    Parts { patch_embed, blocks, final_norm, heads }
}

fn norm(config: &Config, weight: &[f32], bias: &[f32]) -> LayerNorm {
    LayerNorm::new(weight.to_vec(), bias.to_vec(), config.layer_norm_eps as f32)
}

fn block(config: &Config, block: &BlockWeights, last: bool) -> Block {
    let width = config.hidden_size;
    let head_dim = width / config.num_attention_heads;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let mut bias: Vec<f32> = block.query_bias.iter().map(|b| b * scale).collect();
    bias.extend_from_slice(&block.key_bias);
    bias.extend_from_slice(&block.value_bias);
    let qkv = PackedF32::new(width, 3 * width, &bias, |i, j| match j / width {
        0 => block.query_weight[j * width + i] * scale,
        1 => block.key_weight[(j - width) * width + i],
        _ => block.value_weight[(j - 2 * width) * width + i],
    });
    let output = scaled(width, width, &block.output_weight, &block.output_bias, &block.layer_scale1);
    let (activation, fc1, fc2) = match &block.feed_forward {
        FeedForward::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias } => {
            let hidden = fc1_bias.len();
            let fc1 = PackedF32::new(width, hidden, fc1_bias, |i, j| fc1_weight[j * width + i]);
            (Activation::Gelu, fc1, scaled(hidden, width, fc2_weight, fc2_bias, &block.layer_scale2))
        }
        FeedForward::SwiGlu { in_weight, in_bias, out_weight, out_bias } => {
            let hidden = in_bias.len();
            let fc1 = PackedF32::new(width, hidden, in_bias, |i, j| in_weight[j * width + i]);
            (Activation::SwiGlu, fc1, scaled(hidden / 2, width, out_weight, out_bias, &block.layer_scale2))
        }
    };
    Block {
        norm1: norm(config, &block.norm1_weight, &block.norm1_bias),
        qkv: Linear::F32(qkv),
        output: Linear::F32(output),
        norm2: norm(config, &block.norm2_weight, &block.norm2_bias),
        fc1: Linear::F32(fc1),
        fc2_levelling: None,
        fc2: Linear::F32(fc2),
        heads: config.num_attention_heads,
        activation,
        int8_attention: false,
        record_attention: last,
    }
}

/// [n, k] weights with LayerScale λ [n] folded in.
fn scaled(k: usize, n: usize, weight: &[f32], bias: &[f32], lambda: &[f32]) -> PackedF32 {
    let bias: Vec<f32> = bias.iter().zip(lambda).map(|(b, l)| b * l).collect();
    PackedF32::new(k, n, &bias, |i, j| weight[j * k + i] * lambda[j])
}

fn heads(probes: &Probes, width: usize, prefix_tokens: usize, grid: usize) -> Heads {
    let names = manifest::Heads::NAMES.iter();
    let heads = names.filter_map(|name| probes.heads.get(*name).map(|head| packed(name, head, width))).collect();
    let segmentation = probes.segmentation.as_ref().map(|head| segmentation(head, width, grid));
    Heads { heads, segmentation, prefix_tokens, width }
}

fn segmentation(head: &SegmentationHead, width: usize, grid: usize) -> Segmentation {
    let w = head.hidden;
    let project =
        (w > 0).then(|| PackedF32::new(width, w, &head.project_bias, |k, n| head.project_weight[n * width + k]));
    let convolutions = head.convolutions.iter().map(|(weight, bias)| Segmentation::convolution(w, weight, bias));
    let inputs = if w > 0 { w } else { width };
    let rows = head.readout_bias.len();
    let readout = PackedF32::new(inputs, rows, &head.readout_bias, |k, n| head.readout_weight[n * inputs + k]);
    Segmentation::new(head.channels, head.scale, grid, project, convolutions.collect(), readout)
}

fn packed(name: &str, head: &ProbeHead, width: usize) -> Head {
    let k = 2 * width + head.hidden;
    let hidden = (head.hidden > 0).then(|| {
        PackedF32::new(2 * width, head.hidden, &head.hidden_bias, |i, j| head.hidden_weight[j * 2 * width + i])
    });
    let readout = PackedF32::new(k, head.outputs, &head.bias, |i, j| head.weight[j * k + i]);
    Head { name: name.to_string(), hidden, readout }
}
