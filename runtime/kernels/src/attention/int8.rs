//! Attention in int8: QKᵀ per token, P·V with one scale per row and block of 64 keys, softmax online in f32.

use super::{HeadShape, TokenBlock};
use crate::gemm::{self, Instructions, MAX_ROWS, Product};
use crate::lanes::F32x16;
use crate::math::{self, EXP2, EXP2_STEPS};
use crate::rows;

/// What is known of the rows of a strip after some blocks of keys, in log₂ units.
struct Online {
    largest: [f32; MAX_ROWS],
    /// Σ 255·p
    total: [f32; MAX_ROWS],
}

/// out[r][..hd] = softmax(q·kᵀ)·v for the `count` queries of `queries` from `first` on; `out` has row stride `ldo`.
/// `sums` is scratch of [`HeadShape::sums_len`]. `probabilities` gets the T probabilities of the query `first`.
#[inline(always)]
pub(crate) fn attend<I: Instructions>(
    shape: HeadShape,
    head: usize,
    queries: &TokenBlock,
    first: usize,
    count: usize,
    blocks: &[TokenBlock],
    sums: &mut [f32],
    out: &mut [f32],
    ldo: usize,
    mut probabilities: Option<&mut [f32]>,
) {
    let padded_dim = shape.head_dim.next_multiple_of(I::GROUP);
    for start in (0..count).step_by(I::ROWS) {
        let rows = (count - start).min(I::ROWS);
        let at = head * TokenBlock::TOKENS + first + start;
        let q = &queries.queries[at * padded_dim..(at + rows) * padded_dim];
        let scales = &queries.query_scales[at..at + rows];
        let out = &mut out[start * ldo..];
        strip::<I>(shape, head, rows, q, scales, blocks, sums, out, ldo, probabilities.take());
    }
}

#[inline(always)]
fn strip<I: Instructions>(
    shape: HeadShape,
    head: usize,
    rows: usize,
    q: &[u8],
    scales: &[f32],
    blocks: &[TokenBlock],
    sums: &mut [f32],
    out: &mut [f32],
    ldo: usize,
    mut probabilities: Option<&mut [f32]>,
) {
    let columns = shape.head_dim.next_multiple_of(16);
    let sums = &mut sums[..rows * columns];
    sums.fill(0.0);
    let mut online = Online { largest: [-1e30; MAX_ROWS], total: [0.0; MAX_ROWS] };
    let mut product = Product::ZERO;
    let mut scores = [[0.0; 64]; MAX_ROWS];
    let mut steps = [[0u8; 64]; MAX_ROWS];
    for (i, block) in blocks.iter().enumerate() {
        block_scores::<I>(shape, head, rows, q, scales, block, &mut product, &mut scores);
        if let Some(p) = &mut probabilities {
            p[i * TokenBlock::TOKENS..][..block.tokens].copy_from_slice(&scores[0][..block.tokens]);
        }
        let (keep, add) = block_probabilities::<I>(rows, block.padded() / 16, &scores, &mut steps, &mut online);
        block_values::<I>(shape, head, rows, block, &steps, keep, add, &mut product, sums);
    }
    for (r, sums) in sums.chunks_exact_mut(columns).enumerate() {
        rows::scale::<I::V>(sums, 1.0 / online.total[r]);
        out[r * ldo..][..shape.head_dim].copy_from_slice(&sums[..shape.head_dim]);
    }
    if let Some(p) = probabilities {
        softmax::<I>(p);
    }
}

/// scores[r][t] = q·k in log₂ units for the keys of one block; −∞ beyond its end.
#[inline(always)]
fn block_scores<I: Instructions>(
    shape: HeadShape,
    head: usize,
    rows: usize,
    q: &[u8],
    scales: &[f32],
    block: &TokenBlock,
    product: &mut Product,
    scores: &mut [[f32; 64]; MAX_ROWS],
) {
    let padded_dim = shape.head_dim.next_multiple_of(I::GROUP);
    let panels = block.padded() / 16;
    let at = head * TokenBlock::TOKENS;
    let (keys, offsets) = (&block.keys[at * padded_dim..], &block.key_offsets[at..]);
    gemm::multiply_i8::<I>(rows, panels, padded_dim, q, padded_dim, keys, offsets, product);
    let key_scales = block.key_scales[at..at + TokenBlock::TOKENS].as_chunks::<16>().0;
    for ((r, scores), scale) in scores.iter_mut().enumerate().zip(scales) {
        let scale = I::V::splat(*scale);
        for (p, scores) in scores.as_chunks_mut::<16>().0.iter_mut().enumerate().take(panels) {
            I::V::from_i32(product.panel(r, p)).mul(I::V::load(&key_scales[p])).mul(scale).store(scores);
        }
        scores[block.tokens..].fill(f32::NEG_INFINITY);
    }
}

/// steps[r][t] = 255·2^(score − block's largest), rounded. Returns the factors of what was summed before and of what this
/// block adds, both relative to the largest score so far.
#[inline(always)]
fn block_probabilities<I: Instructions>(
    rows: usize,
    panels: usize,
    scores: &[[f32; 64]; MAX_ROWS],
    steps: &mut [[u8; 64]; MAX_ROWS],
    online: &mut Online,
) -> ([f32; MAX_ROWS], [f32; MAX_ROWS]) {
    let (mut largest, mut totals) = ([-1e30; MAX_ROWS], [0.0; MAX_ROWS]);
    for r in 0..rows {
        let scores = &scores[r].as_chunks::<16>().0[..panels];
        let peak = scores.iter().fold(I::V::splat(-1e30), |peak, s| peak.max(I::V::load(s))).reduce_max();
        largest[r] = peak;
        let peak = I::V::splat(peak);
        for (s, out) in scores.iter().zip(steps[r].as_chunks_mut::<16>().0) {
            math::exp2(I::V::load(s).sub(peak), EXP2_STEPS).store_u8(out);
        }
        totals[r] = steps[r][..panels * 16].iter().map(|p| u32::from(*p)).sum::<u32>() as f32;
    }
    let (before, block) = (I::V::load(&online.largest), I::V::load(&largest));
    let both = before.max(block);
    let keep = math::exp2(before.sub(both), EXP2);
    let add = math::exp2(block.sub(both), EXP2);
    I::V::load(&totals).fma(add, I::V::load(&online.total).mul(keep)).store(&mut online.total);
    both.store(&mut online.largest);
    let mut factors = ([0.0; MAX_ROWS], [0.0; MAX_ROWS]);
    keep.store(&mut factors.0);
    add.store(&mut factors.1);
    factors
}

/// sums[r] = keep[r]·sums[r] + add[r]·(steps[r]·v)
#[inline(always)]
fn block_values<I: Instructions>(
    shape: HeadShape,
    head: usize,
    rows: usize,
    block: &TokenBlock,
    steps: &[[u8; 64]; MAX_ROWS],
    keep: [f32; MAX_ROWS],
    add: [f32; MAX_ROWS],
    product: &mut Product,
    sums: &mut [f32],
) {
    let columns = shape.head_dim.next_multiple_of(16);
    let keys = block.padded();
    for first in (0..columns / 16).step_by(4) {
        let panels = (columns / 16 - first).min(4);
        let values = &block.values[head * TokenBlock::TOKENS * columns + first * 16 * keys..];
        let at = head * columns + first * 16;
        let offsets = &block.value_offsets[at..at + panels * 16];
        let scales = block.value_scales[at..at + panels * 16].as_chunks::<16>().0;
        gemm::multiply_i8::<I>(rows, panels, keys, steps.as_flattened(), 64, values, offsets, product);
        for (r, sums) in sums.chunks_exact_mut(columns).enumerate() {
            let (keep, add) = (I::V::splat(keep[r]), I::V::splat(add[r]));
            let sums = sums[first * 16..].as_chunks_mut::<16>().0;
            for (p, sums) in sums.iter_mut().enumerate().take(panels) {
                // the steps are unsigned: what the zero point of 128 took off comes back
                let product = product.panel(r, p);
                let exact: [i32; 16] = std::array::from_fn(|c| product[c] + offsets[p * 16 + c]);
                let y = I::V::from_i32(&exact).mul(I::V::load(&scales[p]));
                y.fma(add, I::V::load(sums).mul(keep)).store(sums);
            }
        }
    }
}

/// Scores in log₂ units to probabilities.
#[inline(always)]
fn softmax<I: Instructions>(scores: &mut [f32]) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let peak = scores.iter().fold(-1e30, |a: f32, b| if *b > a { *b } else { a });
    let mut total = I::V::splat(0.0);
    for part in scores.chunks_mut(16) {
        lanes[part.len()..].fill(f32::NEG_INFINITY);
        lanes[..part.len()].copy_from_slice(part);
        math::exp2(I::V::load(&lanes).sub(I::V::splat(peak)), EXP2).store(&mut lanes);
        lanes[part.len()..].fill(0.0);
        total = total.add(I::V::load(&lanes));
        part.copy_from_slice(&lanes[..part.len()]);
    }
    rows::scale::<I::V>(scores, 1.0 / total.sum());
}
