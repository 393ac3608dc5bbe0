//! The transformer block, fused: x += A(LN₁ x), x += F(LN₂ x), with LayerScale and 1/√hd folded into the weights.

use rad_dino_kernels::{Epilogue, HeadShape, Kernels, TokenBlock};
use rayon::prelude::*;

use super::attention::Operands;
use super::context::Context;
use super::linear::{Linear, Quantised};
use super::norm::LayerNorm;
use super::scratch::{ImageScratch, RowScratch, sized};

/// The non-linearity of the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU (erf) between fc1 and fc2.
    Gelu,
    /// fc1 gives 2F values a|b; fc2 gets silu(a)·b.
    SwiGlu,
}

/// hidden ← (hidden − mean)·factor, an input at a time, so that none stands out when a row is rounded to int8; fc2's
/// weights and bias take both back.
#[derive(Clone, Debug, PartialEq)]
pub struct Levelling {
    /// [F]
    pub mean: Vec<f32>,
    /// [F]
    pub factor: Vec<f32>,
}

/// One block; D = width, H heads.
#[derive(Debug)]
pub struct Block {
    /// Before attention.
    pub norm1: LayerNorm,
    /// D → 3D, q|k|v, q already divided by √hd.
    pub qkv: Linear,
    /// D → D, LayerScale folded in.
    pub output: Linear,
    /// Before the feed-forward layer.
    pub norm2: LayerNorm,
    /// D → F (or 2F).
    pub fc1: Linear,
    /// What is done to fc2's input before it is rounded to int8; None for nothing.
    pub fc2_levelling: Option<Levelling>,
    /// F → D, LayerScale folded in.
    pub fc2: Linear,
    /// H
    pub heads: usize,
    /// GELU or SwiGLU.
    pub activation: Activation,
    /// Whether attention is int8, too (EncoderBlockInt8), or f32.
    pub int8_attention: bool,
    /// Whether this is the last block, whose CLS attention is kept for heat maps.
    pub record_attention: bool,
}

impl Block {
    /// D
    pub fn width(&self) -> usize {
        self.norm1.width()
    }

    /// x [T, D] ← block(x), for image number `image` of the call.
    pub fn forward(&self, context: &Context, image: usize, x: &mut [f32]) {
        let width = self.width();
        let shape = HeadShape { tokens: x.len() / width, width, head_dim: width / self.heads };
        let mut scratch = context.scratch.image();
        let operands = if self.int8_attention {
            self.quantised(context, shape, x, &mut scratch)
        } else {
            self.packed(context, shape, x, &mut scratch)
        };
        share(x, 0, context.scratch.chunk(shape.tokens), width, &|x, first| {
            let mut scratch = context.scratch.rows();
            let RowScratch { rows: attended, hidden, quantised, cls } = &mut *scratch;
            let attended = sized(attended, x.len());
            if self.record_attention && first == 0 {
                let cls = sized(cls, self.heads * shape.tokens);
                operands.attend(&*context.kernels, shape, first, attended, hidden, Some(&mut *cls));
                context.record_attention(image, shape.tokens, cls);
            } else {
                operands.attend(&*context.kernels, shape, first, attended, hidden, None);
            }
            self.project_and_feed_forward(&*context.kernels, attended, hidden, quantised, x);
        });
    }

    /// LayerNorm and the projection to q|k|v for some rows.
    fn qkv(&self, kernels: &dyn Kernels, x: &[f32], normed: &mut Vec<f32>, quantised: &mut Quantised, out: &mut [f32]) {
        let width = self.width();
        let normed = sized(normed, x.len());
        self.norm1.apply(kernels, x, normed);
        self.qkv.apply(kernels, x.len() / width, normed, width, quantised, out, Epilogue::Store);
    }

    fn quantised<'s>(
        &self,
        context: &Context,
        shape: HeadShape,
        x: &[f32],
        scratch: &'s mut ImageScratch,
    ) -> Operands<'s> {
        let (width, kernels) = (shape.width, &*context.kernels);
        let count = shape.tokens.div_ceil(TokenBlock::TOKENS);
        if scratch.blocks.len() < count {
            scratch.blocks.resize_with(count, TokenBlock::default);
        }
        let blocks = &mut scratch.blocks[..count];
        blocks.par_iter_mut().zip(x.par_chunks(TokenBlock::TOKENS * width)).for_each(|(block, x)| {
            let mut scratch = context.scratch.rows();
            let RowScratch { rows, hidden, quantised, .. } = &mut *scratch;
            let qkv = sized(hidden, 3 * x.len());
            self.qkv(kernels, x, rows, quantised, qkv);
            kernels.pack_tokens(shape, qkv, block);
        });
        Operands::Int8(blocks)
    }

    fn packed<'s>(
        &self,
        context: &Context,
        shape: HeadShape,
        x: &[f32],
        scratch: &'s mut ImageScratch,
    ) -> Operands<'s> {
        let (width, kernels) = (shape.width, &*context.kernels);
        let qkv = sized(&mut scratch.qkv, 3 * x.len());
        let rows = context.scratch.chunk(shape.tokens) * width;
        qkv.par_chunks_mut(3 * rows).zip(x.par_chunks(rows)).for_each(|(out, x)| {
            let mut scratch = context.scratch.rows();
            let RowScratch { rows, quantised, .. } = &mut *scratch;
            self.qkv(kernels, x, rows, quantised, out);
        });
        let qkv = &*qkv;
        let keys = sized(&mut scratch.keys, self.heads * shape.keys_len());
        let values = sized(&mut scratch.values, self.heads * shape.values_len());
        keys.par_chunks_mut(shape.keys_len())
            .zip(values.par_chunks_mut(shape.values_len()))
            .enumerate()
            .for_each(|(head, (keys, values))| kernels.pack_head(shape, head, qkv, keys, values));
        Operands::Float { qkv, keys, values }
    }

    fn project_and_feed_forward(
        &self,
        kernels: &dyn Kernels,
        normed: &mut [f32],
        hidden: &mut Vec<f32>,
        quantised: &mut Quantised,
        x: &mut [f32],
    ) {
        let width = self.width();
        let count = x.len() / width;
        let hidden = sized(hidden, count * self.fc1.outputs());
        self.output.apply(kernels, count, normed, width, quantised, x, Epilogue::Residual);
        self.norm2.apply(kernels, x, normed);
        let epilogue = if self.activation == Activation::Gelu { Epilogue::Gelu } else { Epilogue::Store };
        self.fc1.apply(kernels, count, normed, width, quantised, hidden, epilogue);
        if self.activation == Activation::SwiGlu {
            kernels.swiglu(hidden, self.fc1.outputs());
        }
        self.level(kernels, hidden);
        self.fc2.apply(kernels, count, hidden, self.fc1.outputs(), quantised, x, Epilogue::Residual);
    }
}

impl Block {
    /// Makes of rows of the hidden layer what fc2 takes.
    pub(super) fn level(&self, kernels: &dyn Kernels, hidden: &mut [f32]) {
        if let Some(Levelling { mean, factor }) = &self.fc2_levelling {
            kernels.level(hidden, self.fc1.outputs(), mean, factor);
        }
    }

    /// out [T, D] = the heads of all tokens of `x` [T, D], side by side.
    pub(super) fn attend_all(&self, context: &Context, shape: HeadShape, x: &[f32], out: &mut [f32]) {
        let mut scratch = context.scratch.image();
        let operands = if self.int8_attention {
            self.quantised(context, shape, x, &mut scratch)
        } else {
            self.packed(context, shape, x, &mut scratch)
        };
        operands.attend(&*context.kernels, shape, 0, out, &mut Vec::new(), None);
    }
}

/// Calls `task(part, first row)` for parts of `chunk` rows of `x`, which starts with row `first`, in parallel; up to a
/// quarter more stays with the last part, so that a few left-over rows do not cost a pass over the weights.
fn share(x: &mut [f32], first: usize, chunk: usize, width: usize, task: &(dyn Fn(&mut [f32], usize) + Sync)) {
    let rows = x.len() / width;
    let chunks = (rows + chunk - 1 - chunk / 4) / chunk;
    if chunks <= 1 {
        return task(x, first);
    }
    let half = chunks / 2 * chunk;
    let (left, right) = x.split_at_mut(half * width);
    rayon::join(|| share(left, first, chunk, width, task), || share(right, first + half, chunk, width, task));
}
