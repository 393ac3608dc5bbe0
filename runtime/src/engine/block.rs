//! The transformer block, fused: x += A(LN₁ x), x += F(LN₂ x), with LayerScale and 1/√hd folded into the weights.

use rad_dino_kernels::{Epilogue, HeadShape};
use rayon::prelude::*;

use super::context::Context;
use super::linear::Linear;
use super::norm::LayerNorm;
use super::scratch::{CHUNK, ImageScratch, sized};

/// The non-linearity of the feed-forward layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// GELU (erf) between fc1 and fc2.
    Gelu,
    /// fc1 gives 2F values a|b; fc2 gets silu(a)·b.
    SwiGlu,
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
    /// F → D, LayerScale folded in.
    pub fc2: Linear,
    /// H
    pub heads: usize,
    /// GELU or SwiGLU.
    pub activation: Activation,
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
        self.attention(context, shape, x, &mut scratch);
        if self.record_attention {
            context.record_attention(image, shape.tokens, &scratch.cls_attention[..self.heads * shape.tokens]);
        }
        self.project_and_feed_forward(context, shape, &scratch.attended, x);
    }

    fn attention(&self, context: &Context, shape: HeadShape, x: &[f32], scratch: &mut ImageScratch) {
        let HeadShape { tokens, width, head_dim } = shape;
        let kernels = &*context.kernels;
        let qkv = sized(&mut scratch.qkv, tokens * 3 * width);
        qkv.par_chunks_mut(CHUNK * 3 * width).zip(x.par_chunks(CHUNK * width)).for_each(|(out, x)| {
            let mut rows = context.scratch.rows();
            let (normed, _, quantised) = rows.buffers(x.len(), 0);
            self.norm1.apply(kernels, x, normed);
            self.qkv.apply(kernels, x.len() / width, normed, width, quantised, out, Epilogue::Store);
        });
        let qkv = &*qkv;
        let keys = sized(&mut scratch.keys, self.heads * shape.keys_len());
        let values = sized(&mut scratch.values, self.heads * shape.values_len());
        keys.par_chunks_mut(shape.keys_len())
            .zip(values.par_chunks_mut(shape.values_len()))
            .enumerate()
            .for_each(|(head, (keys, values))| kernels.pack_head(shape, head, qkv, keys, values));
        let (keys, values) = (&*keys, &*values);
        let attended = sized(&mut scratch.attended, self.heads * tokens * head_dim);
        let cls = sized(&mut scratch.cls_attention, self.heads * tokens);
        attended.par_chunks_mut(tokens * head_dim).zip(cls.par_chunks_mut(tokens)).enumerate().for_each(
            |(head, (out, cls))| {
                let keys = &keys[head * shape.keys_len()..][..shape.keys_len()];
                let values = &values[head * shape.values_len()..][..shape.values_len()];
                let attend = |first: usize, out: &mut [f32], cls: Option<&mut [f32]>| {
                    let mut rows = context.scratch.rows();
                    let (scores, _, _) = rows.buffers(shape.scores_len(), 0);
                    kernels.attend(shape, head, first, qkv, keys, values, scores, out, cls);
                };
                let (start, rest) = out.split_at_mut(CHUNK.min(tokens) * head_dim);
                rayon::join(
                    || attend(0, start, Some(cls)),
                    || {
                        rest.par_chunks_mut(CHUNK * head_dim)
                            .enumerate()
                            .for_each(|(chunk, out)| attend((chunk + 1) * CHUNK, out, None));
                    },
                );
            },
        );
    }

    fn project_and_feed_forward(&self, context: &Context, shape: HeadShape, attended: &[f32], x: &mut [f32]) {
        let HeadShape { tokens, width, head_dim } = shape;
        let kernels = &*context.kernels;
        x.par_chunks_mut(CHUNK * width).enumerate().for_each(|(chunk, x)| {
            let count = x.len() / width;
            let mut rows = context.scratch.rows();
            let (normed, hidden, quantised) = rows.buffers(x.len(), count * self.fc1.outputs());
            for (r, row) in normed.chunks_exact_mut(width).enumerate() {
                for (head, out) in row.chunks_exact_mut(head_dim).enumerate() {
                    let at = (head * tokens + chunk * CHUNK + r) * head_dim;
                    out.copy_from_slice(&attended[at..at + head_dim]);
                }
            }
            self.output.apply(kernels, count, normed, width, quantised, x, Epilogue::Residual);
            self.norm2.apply(kernels, x, normed);
            let epilogue = if self.activation == Activation::Gelu { Epilogue::Gelu } else { Epilogue::Store };
            self.fc1.apply(kernels, count, normed, width, quantised, hidden, epilogue);
            if self.activation == Activation::SwiGlu {
                kernels.swiglu(hidden, self.fc1.outputs());
            }
            self.fc2.apply(kernels, count, hidden, self.fc1.outputs(), quantised, x, Epilogue::Residual);
        });
    }
}
