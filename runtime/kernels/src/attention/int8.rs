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
    // SAFETY: the caller was compiled for I.
    unsafe { I::begin() };
    for start in (0..count).step_by(I::ROWS) {
        let rows = (count - start).min(I::ROWS);
        let at = head * TokenBlock::TOKENS + first + start;
        let q = &queries.queries[at * padded_dim..(at + rows) * padded_dim];
        let scales = &queries.query_scales[at..at + rows];
        let out = &mut out[start * ldo..];
        strip::<I>(shape, head, rows, q, scales, blocks, sums, out, ldo, probabilities.take());
    }
    // SAFETY: as above.
    unsafe { I::end() };
}

/// Probabilities in steps of a 255th of the largest of their row and block.
#[repr(C, align(64))]
struct Steps([[u8; 64]; MAX_ROWS]);

/// Rows of P panels of 16 floats.
#[repr(C, align(64))]
struct Exponents<const P: usize>([[[f32; 16]; P]; MAX_ROWS]);

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
    let padded_dim = shape.head_dim.next_multiple_of(I::GROUP);
    let columns = shape.head_dim.next_multiple_of(16);
    let sums = &mut sums[..rows * columns];
    sums.fill(0.0);
    let mut online = Online { largest: [-1e30; MAX_ROWS], total: [0.0; MAX_ROWS] };
    let mut product = Product::ZERO;
    let mut steps = Steps([[0; 64]; MAX_ROWS]);
    for (i, block) in blocks.iter().enumerate() {
        let at = head * TokenBlock::TOKENS;
        let (keys, offsets) = (&block.keys[at * padded_dim..], &block.key_offsets[at..]);
        let panels = block.padded() / 16;
        gemm::multiply_i8::<I>(rows, panels, padded_dim, q, padded_dim, keys, offsets, &mut product);
        let part = probabilities.as_deref_mut().map(|p| &mut p[i * TokenBlock::TOKENS..][..block.tokens]);
        let (keep, add) = match panels {
            1 => softmax_steps::<I, 1>(head, scales, block, &product, &mut steps, &mut online, part),
            2 => softmax_steps::<I, 2>(head, scales, block, &product, &mut steps, &mut online, part),
            3 => softmax_steps::<I, 3>(head, scales, block, &product, &mut steps, &mut online, part),
            _ => softmax_steps::<I, 4>(head, scales, block, &product, &mut steps, &mut online, part),
        };
        for first in (0..columns / 16).step_by(4) {
            let place = Place { head, columns, first, rows };
            match columns / 16 - first {
                1 => add_values::<I, 1>(place, block, &steps, keep, add, &mut product, sums),
                2 => add_values::<I, 2>(place, block, &steps, keep, add, &mut product, sums),
                3 => add_values::<I, 3>(place, block, &steps, keep, add, &mut product, sums),
                _ => add_values::<I, 4>(place, block, &steps, keep, add, &mut product, sums),
            }
        }
    }
    for (r, sums) in sums.chunks_exact_mut(columns).enumerate() {
        rows::scale::<I::V>(sums, 1.0 / online.total[r]);
        out[r * ldo..][..shape.head_dim].copy_from_slice(&sums[..shape.head_dim]);
    }
    if let Some(p) = probabilities {
        softmax::<I>(p);
    }
}

/// steps[r][t] = 255·2^(score − block's largest), rounded, from the products q·k with one block of P panels of keys; each
/// of `scales` is a row's. `scores` gets the first row's in log₂ units. Returns the factors of what was summed before and of
/// what this block adds, both relative to the largest score so far.
#[inline(always)]
fn softmax_steps<I: Instructions, const P: usize>(
    head: usize,
    scales: &[f32],
    block: &TokenBlock,
    product: &Product,
    steps: &mut Steps,
    online: &mut Online,
    scores: Option<&mut [f32]>,
) -> ([f32; MAX_ROWS], [f32; MAX_ROWS]) {
    let key_scales = block.key_scales[head * TokenBlock::TOKENS..][..16 * P].as_chunks::<16>().0;
    let mut exponents = Exponents([[[0.0; 16]; P]; MAX_ROWS]);
    let mut peaks = [[-1e30; 16]; MAX_ROWS];
    for (r, scale) in scales.iter().enumerate() {
        let scale = I::V::splat(*scale);
        let mut peak = I::V::splat(-1e30);
        for (p, key_scales) in key_scales.iter().enumerate() {
            let mut s = I::V::from_i32(product.panel(r, p)).mul(I::V::load(key_scales)).mul(scale);
            if p == P - 1 && block.tokens < 16 * P {
                let mut lanes = [0.0; 16];
                s.store(&mut lanes);
                lanes[block.tokens % 16..].fill(f32::NEG_INFINITY);
                s = I::V::load(&lanes);
            }
            peak = peak.max(s);
            s.store(&mut exponents.0[r][p]);
        }
        peak.store(&mut peaks[r]);
    }
    if let Some(scores) = scores {
        scores.copy_from_slice(&exponents.0[0].as_flattened()[..block.tokens]);
    }
    let mut largest = [0.0; MAX_ROWS];
    I::V::reduce_rows_max(&peaks, scales.len()).store(&mut largest);
    for (r, peak) in largest.iter().enumerate().take(scales.len()) {
        let peak = I::V::splat(*peak);
        let out = steps.0[r].as_chunks_mut::<16>().0;
        for (exponents, out) in exponents.0[r].iter().zip(out.iter_mut()) {
            math::exp2(I::V::load(exponents).sub(peak), EXP2_STEPS).store_u8(out);
        }
        for out in &mut out[P..] {
            *out = [0; 16];
        }
    }
    let totals = I::V::sum_rows(&steps.0, scales.len());
    let (before, block) = (I::V::load(&online.largest), I::V::load(&largest));
    let both = before.max(block);
    let keep = math::exp2(before.sub(both), EXP2);
    let add = math::exp2(block.sub(both), EXP2);
    totals.fma(add, I::V::load(&online.total).mul(keep)).store(&mut online.total);
    both.store(&mut online.largest);
    let mut factors = ([0.0; MAX_ROWS], [0.0; MAX_ROWS]);
    keep.store(&mut factors.0);
    add.store(&mut factors.1);
    factors
}

/// Which part of the sums: of `columns` channels of a head those from panel `first` on.
#[derive(Clone, Copy)]
struct Place {
    head: usize,
    columns: usize,
    first: usize,
    rows: usize,
}

/// sums[r] = keep[r]·sums[r] + add[r]·(steps[r]·v) for P panels of channels.
#[inline(always)]
fn add_values<I: Instructions, const P: usize>(
    place: Place,
    block: &TokenBlock,
    steps: &Steps,
    keep: [f32; MAX_ROWS],
    add: [f32; MAX_ROWS],
    product: &mut Product,
    sums: &mut [f32],
) {
    let Place { head, columns, first, rows } = place;
    let keys = block.padded();
    let values = &block.values[head * TokenBlock::TOKENS * columns + first * 16 * keys..];
    let at = head * columns + first * 16;
    let all_offsets = &block.value_offsets[at..at + P * 16];
    let (offsets, scales) = (all_offsets.as_chunks::<16>().0, block.value_scales[at..][..P * 16].as_chunks::<16>().0);
    gemm::multiply_i8::<I>(rows, P, keys, steps.0.as_flattened(), 64, values, all_offsets, product);
    for (r, sums) in sums.chunks_exact_mut(columns).enumerate() {
        let (keep, add) = (I::V::splat(keep[r]), I::V::splat(add[r]));
        let sums = &mut sums[first * 16..][..P * 16].as_chunks_mut::<16>().0;
        for p in 0..P {
            // the steps are unsigned: what the zero point of 128 took off comes back
            let exact = I::V::from_difference(product.panel(r, p), &offsets[p]);
            exact.mul(I::V::load(&scales[p])).fma(add, I::V::load(&sums[p]).mul(keep)).store(&mut sums[p]);
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
