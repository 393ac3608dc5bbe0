//! Row operations: LayerNorm, quantisation, softmax, SwiGLU, levelling. Written once over sixteen lanes, compiled per set.

use crate::lanes::F32x16;
use crate::math;

/// Splits a row into full lanes and the tail.
macro_rules! lanes {
    ($row:expr) => {
        $row.as_chunks::<16>()
    };
}

/// out = (x − mean)/√(var + eps)·gamma + beta over one row of length D (LayerNorm, biased variance).
#[inline(always)]
pub(crate) fn layer_norm<V: F32x16>(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32]) {
    let d = x.len() as f32;
    let (full, tail) = lanes!(x);
    let mut sum = V::splat(0.0);
    for v in full {
        sum = sum.add(V::load(v));
    }
    if !tail.is_empty() {
        sum = sum.add(V::load_partial(tail));
    }
    let mean = sum.sum() / d;
    let means = V::splat(mean);
    let mut squares = V::splat(0.0);
    for v in full {
        let c = V::load(v).sub(means);
        squares = c.fma(c, squares);
    }
    if !tail.is_empty() {
        let mut centred = [0.0; 16];
        for (c, v) in centred.iter_mut().zip(tail) {
            *c = v - mean;
        }
        let c = V::load(&centred);
        squares = c.fma(c, squares);
    }
    let scale = 1.0 / (squares.sum() / d + eps).sqrt();
    let scales = V::splat(scale);
    let (gamma, gamma_tail) = lanes!(gamma);
    let (beta, beta_tail) = lanes!(beta);
    let (out, out_tail) = out.as_chunks_mut::<16>();
    for (((v, g), b), o) in full.iter().zip(gamma).zip(beta).zip(out) {
        V::load(v).sub(means).mul(scales).fma(V::load(g), V::load(b)).store(o);
    }
    if !tail.is_empty() {
        let y = V::load_partial(tail).sub(means).mul(scales);
        let y = y.fma(V::load_partial(gamma_tail), V::load_partial(beta_tail));
        let mut lanes = [0.0; 16];
        y.store(&mut lanes);
        out_tail.copy_from_slice(&lanes[..out_tail.len()]);
    }
}

/// Of up to 16 rows x: 127/s and s/127 with s = max(max|x|, 1e-9).
#[inline(always)]
pub(crate) fn int8_scales<'a, V: F32x16>(rows: impl Iterator<Item = &'a [f32]>) -> ([f32; 16], [f32; 16]) {
    let mut peaks = [[1e-9; 16]; 16];
    let mut n = 0;
    for (x, peak) in rows.zip(&mut peaks) {
        let (full, tail) = lanes!(x);
        let mut largest = V::splat(1e-9);
        for v in full {
            largest = largest.max(V::load(v).abs());
        }
        if !tail.is_empty() {
            largest = largest.max(V::load_partial(tail).abs());
        }
        largest.store(peak);
        n += 1;
    }
    let (s, steps) = (V::reduce_rows_max(&peaks, n), V::splat(127.0));
    let mut scales = ([0.0; 16], [0.0; 16]);
    steps.div(s).store(&mut scales.0);
    s.div(steps).store(&mut scales.1);
    scales
}

/// round(x·inverse) + 128 for up to 16 values; 128 (zero) beyond.
#[inline(always)]
pub(crate) fn to_biased<V: F32x16>(x: &[f32], inverse: f32, q: &mut [u8; 16]) {
    V::load_up_to_16(x).mul(V::splat(inverse)).store_biased_u8(q);
}

/// Per-row symmetric int8: q = round(x·inverse) + 128, `inverse` from [`int8_scales`].
/// What `q` has beyond the row's length is set to 128 (zero).
#[inline(always)]
pub(crate) fn quantise<V: F32x16>(x: &[f32], inverse: f32, q: &mut [u8]) {
    let (q, rest) = q.split_at_mut(x.len());
    let (full, tail) = lanes!(x);
    let (q_full, q_tail) = q.as_chunks_mut::<16>();
    for (v, o) in full.iter().zip(q_full) {
        to_biased::<V>(v, inverse, o);
    }
    if !tail.is_empty() {
        let mut lanes = [0; 16];
        to_biased::<V>(tail, inverse, &mut lanes);
        q_tail.copy_from_slice(&lanes[..q_tail.len()]);
    }
    rest.fill(128);
}

/// scores ← exp(scores − max) over the first `n` values, 0 beyond; returns 1/Σ. The row's length is a multiple of 16.
#[inline(always)]
pub(crate) fn softmax_unnormalised<V: F32x16>(scores: &mut [f32], n: usize) -> f32 {
    scores[n..].fill(f32::NEG_INFINITY);
    let (lanes, _) = scores.as_chunks_mut::<16>();
    let mut largest = V::splat(f32::NEG_INFINITY);
    for v in lanes.iter() {
        largest = largest.max(V::load(v));
    }
    let largest = V::splat(largest.reduce_max());
    let mut sum = V::splat(0.0);
    let full = n / 16;
    for v in &mut lanes[..full] {
        let e = math::exp(V::load(v).sub(largest));
        sum = sum.add(e);
        e.store(v);
    }
    for v in &mut lanes[full..] {
        math::exp(V::load(v).sub(largest)).store(v);
    }
    scores[n..].fill(0.0);
    let tail = &scores[full * 16..n];
    if !tail.is_empty() {
        sum = sum.add(V::load_partial(tail));
    }
    1.0 / sum.sum()
}

/// row ← row·factor
#[inline(always)]
pub(crate) fn scale<V: F32x16>(row: &mut [f32], factor: f32) {
    let (lanes, tail) = row.as_chunks_mut::<16>();
    for v in lanes {
        V::load(v).mul(V::splat(factor)).store(v);
    }
    for v in tail {
        *v *= factor;
    }
}

/// row[..F] ← silu(row[..F])·row[F..2F]
#[inline(always)]
pub(crate) fn swiglu<V: F32x16>(row: &mut [f32]) {
    let half = row.len() / 2;
    let (a, b) = row.split_at_mut(half);
    let (a_full, a_tail) = a.as_chunks_mut::<16>();
    let (b_full, b_tail) = lanes!(b);
    for (a, b) in a_full.iter_mut().zip(b_full) {
        math::silu(V::load(a)).mul(V::load(b)).store(a);
    }
    if !a_tail.is_empty() {
        let mut lanes = [0.0; 16];
        math::silu(V::load_partial(a_tail)).mul(V::load_partial(b_tail)).store(&mut lanes);
        a_tail.copy_from_slice(&lanes[..a_tail.len()]);
    }
}

/// row ← (row − mean)·factor. The difference is rounded, then the product.
#[inline(always)]
pub(crate) fn level<V: F32x16>(row: &mut [f32], mean: &[f32], factor: &[f32]) {
    let (full, tail) = row.as_chunks_mut::<16>();
    let ((means, mean_tail), (factors, factor_tail)) = (lanes!(mean), lanes!(factor));
    for ((x, mean), factor) in full.iter_mut().zip(means).zip(factors) {
        V::load(x).sub(V::load(mean)).mul(V::load(factor)).store(x);
    }
    for ((x, mean), factor) in tail.iter_mut().zip(mean_tail).zip(factor_tail) {
        *x = (*x - mean) * factor;
    }
}
