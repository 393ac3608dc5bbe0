//! Pixels to tokens: a stride-p convolution as one matrix product, positions added, prefix tokens put before.

use rad_dino_kernels::{Epilogue, PackedF32};
use rayon::prelude::*;

use super::context::Context;
use super::scratch::sized;

/// The patch embedding; G×G patches of side p, R register tokens.
#[derive(Debug)]
pub struct PatchEmbed {
    /// 3·p·p → D, input order channel, row, column.
    pub projection: PackedF32,
    /// [1+R, D]: CLS + its position, then registers.
    pub prefix: Vec<f32>,
    /// [P, D]
    pub positions: Vec<f32>,
    /// p
    pub patch_size: usize,
    /// G
    pub grid: usize,
}

impl PatchEmbed {
    /// D
    pub fn width(&self) -> usize {
        self.projection.n()
    }

    /// S
    pub fn image_size(&self) -> usize {
        self.grid * self.patch_size
    }

    /// 1+R
    pub fn prefix_tokens(&self) -> usize {
        self.prefix.len() / self.width()
    }

    /// 1+R+P
    pub fn tokens(&self) -> usize {
        self.prefix_tokens() + self.grid * self.grid
    }

    /// tokens [1+R+P, D] of one image `pixels` [3, S, S].
    pub fn forward(&self, context: &Context, pixels: &[f32], tokens: &mut [f32]) {
        let (width, size, p) = (self.width(), self.image_size(), self.patch_size);
        let (prefix, patches) = tokens.split_at_mut(self.prefix.len());
        prefix.copy_from_slice(&self.prefix);
        patches.copy_from_slice(&self.positions);
        let k = self.projection.k();
        let chunk_rows = context.scratch.chunk(self.grid * self.grid);
        patches.par_chunks_mut(chunk_rows * width).enumerate().for_each(|(chunk, out)| {
            let count = out.len() / width;
            let mut scratch = context.scratch.rows();
            let unfolded = sized(&mut scratch.rows, count * k);
            for (r, row) in unfolded.chunks_exact_mut(k).enumerate() {
                let patch = chunk * chunk_rows + r;
                let (py, px) = (patch / self.grid * p, patch % self.grid * p);
                for (line, segment) in row.chunks_exact_mut(p).enumerate() {
                    let (channel, y) = (line / p, line % p);
                    let at = (channel * size + py + y) * size + px;
                    segment.copy_from_slice(&pixels[at..at + p]);
                }
            }
            context.kernels.linear_f32(count, unfolded, k, &self.projection, out, width, Epilogue::Residual);
        });
    }
}
