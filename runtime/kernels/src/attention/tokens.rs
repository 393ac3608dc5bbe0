//! Queries, keys and values of a block of 64 tokens in int8, all heads.

use super::HeadShape;
use crate::aligned::AlignedVec;
use crate::gemm::Instructions;
use crate::lanes::F32x16;
use crate::rows;

/// What attention reads of 64 successive tokens (the last block of an image may hold fewer).
#[derive(Debug, Default)]
pub struct TokenBlock {
    pub(super) tokens: usize,
    /// [H][64][hd padded], zero at 128.
    pub(super) queries: AlignedVec<u8>,
    /// [H][64], times log₂ e.
    pub(super) query_scales: AlignedVec<f32>,
    /// [H][4][hd padded / G][16][G]: panels of 16 keys.
    pub(super) keys: AlignedVec<i8>,
    /// [H][64]
    pub(super) key_scales: AlignedVec<f32>,
    /// [H][64], −128·Σ
    pub(super) key_offsets: AlignedVec<i32>,
    /// [H][hd/16][n/G][16][G], n tokens rounded up to 16: panels of 16 channels.
    pub(super) values: AlignedVec<i8>,
    /// [H][hd rounded up to 16]
    pub(super) value_scales: AlignedVec<f32>,
    /// [H][hd rounded up to 16], −128·Σ
    pub(super) value_offsets: AlignedVec<i32>,
}

impl TokenBlock {
    /// Tokens in a block: the keys that share one scale of a row's probabilities.
    pub const TOKENS: usize = 64;

    /// Tokens rounded up to whole panels.
    pub(super) fn padded(&self) -> usize {
        self.tokens.next_multiple_of(16)
    }

    fn reshape(&mut self, tokens: usize, heads: usize, padded_dim: usize, columns: usize) {
        self.tokens = tokens;
        self.queries.ensure(heads * Self::TOKENS * padded_dim);
        self.query_scales.ensure(heads * Self::TOKENS);
        self.keys.ensure(heads * Self::TOKENS * padded_dim);
        self.key_scales.ensure(heads * Self::TOKENS);
        self.key_offsets.ensure(heads * Self::TOKENS);
        self.values.ensure(heads * Self::TOKENS * columns);
        self.value_scales.ensure(heads * columns);
        self.value_offsets.ensure(heads * columns);
    }
}

/// Quantises the rows `qkv` [1 to 64, 3D] into `block`: queries and keys per token and head, values per channel.
#[inline(always)]
pub(crate) fn pack<I: Instructions>(shape: HeadShape, qkv: &[f32], block: &mut TokenBlock) {
    let HeadShape { width, head_dim, .. } = shape;
    let padded_dim = head_dim.next_multiple_of(I::GROUP);
    let columns = head_dim.next_multiple_of(16);
    let tokens = qkv.len() / (3 * width);
    assert!((1..=TokenBlock::TOKENS).contains(&tokens), "a block's tokens");
    block.reshape(tokens, shape.heads(), padded_dim, columns);
    for head in 0..shape.heads() {
        let at = head * TokenBlock::TOKENS;
        let span = at * padded_dim..(at + TokenBlock::TOKENS) * padded_dim;
        let (queries, keys) = (&mut block.queries[span.clone()], &mut block.keys[span]);
        for (i, rows) in qkv.chunks(16 * 3 * width).enumerate() {
            let at = at + 16 * i;
            let size = 16 * padded_dim;
            let part = |part: usize| {
                rows.chunks_exact(3 * width).map(move |row| &row[part * width + head * head_dim..][..head_dim])
            };
            let (inverse, scales) = rows::int8_scales::<I::V>(part(0));
            for ((q, inverse), row) in queries[i * size..].chunks_exact_mut(padded_dim).zip(inverse).zip(part(0)) {
                rows::quantise::<I::V>(row, inverse, q);
            }
            for (out, scale) in block.query_scales[at..at + 16].iter_mut().zip(scales) {
                *out = scale * std::f32::consts::LOG2_E;
            }
            let (inverse, scales) = rows::int8_scales::<I::V>(part(1));
            let panel = &mut keys[i * size..(i + 1) * size];
            block.key_scales[at..at + 16].copy_from_slice(&scales);
            pack_keys::<I>(part(1), inverse, panel, &mut block.key_offsets[at..at + 16]);
        }
        for panel in 0..columns / 16 {
            let first = head * head_dim + panel * 16;
            let channels = 2 * width + first..2 * width + ((head + 1) * head_dim).min(first + 16);
            let column = head * columns + panel * 16;
            let padded = tokens.next_multiple_of(16);
            let out = &mut block.values[head * TokenBlock::TOKENS * columns + panel * 16 * padded..][..16 * padded];
            let scales = &mut block.value_scales[column..column + 16];
            let offsets = &mut block.value_offsets[column..column + 16];
            pack_values::<I>(3 * width, channels, qkv, out, scales, offsets);
        }
    }
}

/// Up to 16 keys of one head into their panel, each with −128 times its sum; absent keys are zero.
#[inline(always)]
fn pack_keys<'a, I: Instructions>(
    keys: impl Iterator<Item = &'a [f32]> + Clone,
    inverse: [f32; 16],
    panel: &mut [i8],
    offsets: &mut [i32],
) {
    let mut sums = I::V::splat(0.0);
    for (part, groups) in panel.chunks_mut(64 * 16).enumerate() {
        let mut rows = [[128u8; 64]; 16];
        for ((key, inverse), row) in keys.clone().zip(inverse).zip(&mut rows) {
            for (x, q) in key.chunks(16).skip(4 * part).zip(row.as_chunks_mut::<16>().0) {
                rows::to_biased::<I::V>(x, inverse, q);
            }
        }
        // all 64 are 128 too large
        sums = sums.add(I::V::sum_rows(&rows, 16)).sub(I::V::splat(64.0 * 128.0));
        match I::GROUP {
            4 => interleave::<4>(&rows, groups),
            _ => interleave::<8>(&rows, groups),
        }
    }
    let mut lanes = [0.0; 16];
    sums.store(&mut lanes);
    for (offset, sum) in offsets.iter_mut().zip(lanes) {
        *offset = -128 * sum as i32;
    }
}

/// groups[g][lane] = G signed bytes of rows[lane] from g·G on.
#[inline(always)]
fn interleave<const G: usize>(rows: &[[u8; 64]; 16], groups: &mut [i8]) {
    for (g, group) in groups.chunks_exact_mut(16 * G).enumerate() {
        for (row, out) in rows.iter().zip(group.as_chunks_mut::<G>().0) {
            *out = row.as_chunks::<G>().0[g].map(|byte| (byte ^ 128) as i8);
        }
    }
}

/// One panel of up to 16 channels of the values, each channel with its own scale.
#[inline(always)]
fn pack_values<I: Instructions>(
    stride: usize,
    channels: std::ops::Range<usize>,
    qkv: &[f32],
    out: &mut [i8],
    scales: &mut [f32],
    offsets: &mut [i32],
) {
    let mut largest = I::V::splat(1e-9);
    for row in qkv.chunks_exact(stride) {
        largest = largest.max(I::V::load_up_to_16(&row[channels.clone()]).abs());
    }
    let steps = I::V::splat(127.0);
    let inverse = steps.div(largest);
    largest.div(steps).store(&mut scales.as_chunks_mut::<16>().0[0]);
    let mut sums = I::V::splat(0.0);
    let mut rows = qkv.chunks_exact(stride);
    for group in out.chunks_exact_mut(16 * I::GROUP) {
        for quad in 0..I::GROUP / 4 {
            let mut four = [I::V::splat(0.0); 4];
            for (steps, row) in four.iter_mut().zip(&mut rows) {
                *steps = I::V::load_up_to_16(&row[channels.clone()]).mul(inverse).round();
                sums = sums.add(*steps);
            }
            let mut bytes = [0; 64];
            I::V::store_quads(four, &mut bytes);
            for (channel, bytes) in group.chunks_exact_mut(I::GROUP).zip(bytes.as_chunks::<4>().0) {
                channel[quad * 4..quad * 4 + 4].copy_from_slice(bytes);
            }
        }
    }
    let mut lanes = [0.0; 16];
    sums.store(&mut lanes);
    for (offset, sum) in offsets.iter_mut().zip(lanes) {
        *offset = -128 * sum as i32;
    }
}
