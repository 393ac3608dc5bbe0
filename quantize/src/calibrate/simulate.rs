//! Blocks as the engine would run them, whatever the number formats of their layers.

use half::f16;
use rad_dino_edge::checkpoint::Config;
use rad_dino_edge::engine::{Activation, Block, LayerNorm, Linear as EngineLinear, Network};
use rad_dino_kernels::{Epilogue, Kernels, PackedF32, PackedI8};

use crate::fold::{FoldedBlock, Layer, Linear};
use crate::rounded::Rounded;

/// The fp32 network of a checkpoint and its shape.
pub(crate) struct Simulator<'a> {
    pub network: &'a Network,
    pub config: &'a Config,
}

/// Cosines of a network's tokens with the fp32 network's.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Cosines {
    /// Of the CLS token, mean over the films.
    pub cls_mean: f64,
    /// Of the CLS token, worst film.
    pub cls_worst: f64,
    /// Of the patch tokens, mean.
    pub patch_mean: f64,
}

impl Simulator<'_> {
    /// D
    pub fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// Whether the feed-forward layer is a SwiGLU.
    pub fn swiglu(&self) -> bool {
        self.config.use_swiglu_ffn
    }

    /// The kernels that run it.
    pub fn kernels(&self) -> &dyn Kernels {
        &*self.network.context.kernels
    }

    /// Tokens [T, D] of an image.
    pub fn embed(&self, pixels: &[f32]) -> Vec<f32> {
        let embed = &self.network.parts.patch_embed;
        let mut tokens = vec![0.0; embed.tokens() * embed.width()];
        embed.forward(&self.network.context, pixels, &mut tokens);
        tokens
    }

    /// The block with its layers in `rounded`; attention is int8 where `int8_attention`.
    pub fn block(&self, folded: &FoldedBlock, rounded: &[Rounded; 4], int8_attention: bool) -> Block {
        let norm = |[weight, bias]: &[Vec<f32>; 2]| {
            LayerNorm::new(weight.clone(), bias.clone(), self.config.layer_norm_eps as f32)
        };
        let [qkv, output, fc1, fc2] = Layer::ALL.map(|l| self.linear(folded.linear(l), &rounded[l as usize]));
        Block {
            norm1: norm(&folded.norm1),
            qkv,
            output,
            norm2: norm(&folded.norm2),
            fc1,
            fc2_levelling: folded.levelling.clone(),
            fc2,
            heads: self.config.num_attention_heads,
            activation: if self.swiglu() { Activation::SwiGlu } else { Activation::Gelu },
            int8_attention,
            record_attention: false,
        }
    }

    /// A layer packed for the kernels.
    pub fn linear(&self, linear: &Linear, rounded: &Rounded) -> EngineLinear {
        let (k, n) = (linear.inputs, linear.outputs);
        match rounded {
            Rounded::F32 => EngineLinear::F32(PackedF32::new(k, n, &linear.bias, |i, j| linear.weight[i * n + j])),
            Rounded::F16 => EngineLinear::F32(PackedF32::new(k, n, &linear.bias, |i, j| {
                f16::from_f32(linear.weight[i * n + j]).to_f32()
            })),
            Rounded::Int8(q) => {
                EngineLinear::Int8(PackedI8::new(self.kernels().isa(), k, n, &q.values, &q.scale, &linear.bias))
            }
        }
    }

    /// The outputs of a layer for `rows` [R, K].
    pub fn outputs(&self, linear: &Linear, rounded: &Rounded, rows: &[f32]) -> Vec<f32> {
        let count = rows.len() / linear.inputs.max(1);
        let mut out = vec![0.0; count * linear.outputs];
        let layer = self.linear(linear, rounded);
        layer.apply(self.kernels(), count, rows, linear.inputs, &mut Default::default(), &mut out, Epilogue::Store);
        out
    }

    /// x ← the fp32 blocks from `first` on, then the last norm.
    pub fn finish(&self, mut x: Vec<f32>, first: usize) -> Vec<f32> {
        for (_, block) in &self.network.parts.blocks[first..] {
            block.forward(&self.network.context, 0, &mut x);
        }
        self.norm(&x)
    }

    /// The last norm.
    pub fn norm(&self, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        self.network.parts.final_norm.apply(self.kernels(), x, &mut out);
        out
    }

    /// `blocks` on the tokens `starts` of each film, compared with `expected`.
    pub fn run(&self, blocks: &[Block], starts: &[Vec<f32>], expected: &[Vec<f32>]) -> Cosines {
        let found = starts.iter().map(|start| {
            let mut x = start.clone();
            blocks.iter().for_each(|block| block.forward(&self.network.context, 0, &mut x));
            self.norm(&x)
        });
        self.compare(found, expected)
    }

    /// Cosines of tokens film by film.
    pub fn compare(&self, found: impl Iterator<Item = Vec<f32>>, expected: &[Vec<f32>]) -> Cosines {
        let prefix = self.network.parts.patch_embed.prefix_tokens();
        let (mut cls, mut patches) = (Vec::new(), Vec::new());
        for (a, b) in found.zip(expected) {
            let tokens = a.chunks_exact(self.width()).zip(b.chunks_exact(self.width()));
            let cosines: Vec<f64> = tokens.map(|(a, b)| cosine(a, b)).collect();
            cls.push(cosines[0]);
            patches.extend_from_slice(&cosines[prefix..]);
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let worst = cls.iter().copied().fold(f64::INFINITY, f64::min);
        Cosines { cls_mean: mean(&cls), cls_worst: worst, patch_mean: mean(&patches) }
    }
}

/// cos(a, b); 1 for two zeros.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    let norm = (dot(a, a) * dot(b, b)).sqrt();
    if norm > 0.0 { dot(a, b) / norm } else { 1.0 }
}

/// The formats of a block in which only `layer` is `one`.
pub(crate) fn alone(layer: Layer, one: Rounded) -> [Rounded; 4] {
    let mut one = Some(one);
    Layer::ALL.map(|l| if l == layer { one.take().unwrap_or(Rounded::F32) } else { Rounded::F32 })
}
