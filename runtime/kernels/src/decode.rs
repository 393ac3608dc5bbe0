//! One step of a decoder: RMSNorm, and attention of one query over cached keys and values.

use crate::gemm::Instructions;
use crate::lanes::F32x16;
use crate::rows;

/// out = x/√(mean x² + eps)·gamma for each row of `x` [rows, D].
#[inline(always)]
pub(crate) fn rms_norm<I: Instructions>(x: &[f32], gamma: &[f32], eps: f32, out: &mut [f32]) {
    let d = gamma.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        let mut squares = I::V::splat(0.0);
        for part in x.chunks(16) {
            let v = I::V::load_up_to_16(part);
            squares = v.fma(v, squares);
        }
        let scale = I::V::splat(1.0 / (squares.sum() / d as f32 + eps).sqrt());
        for ((x, gamma), out) in x.chunks(16).zip(gamma.chunks(16)).zip(out.chunks_mut(16)) {
            let y = I::V::load_up_to_16(x).mul(scale).mul(I::V::load_up_to_16(gamma));
            let mut lanes = [0.0; 16];
            y.store(&mut lanes);
            out.copy_from_slice(&lanes[..out.len()]);
        }
    }
}

/// out [hd] = softmax(q·kᵀ)·v of one query q [hd], which carries 1/√hd, over `keys` and `values` [S, hd]. `scores` is
/// scratch of S rounded up to a multiple of 16.
#[inline(always)]
pub(crate) fn attend_cached<I: Instructions>(
    q: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
) {
    let hd = q.len();
    let n = keys.len() / hd;
    let scores = &mut scores[..n.next_multiple_of(16)];
    for (key, score) in keys.chunks_exact(hd).zip(scores.iter_mut()) {
        let mut sum = I::V::splat(0.0);
        for (q, k) in q.chunks(16).zip(key.chunks(16)) {
            sum = I::V::load_up_to_16(q).fma(I::V::load_up_to_16(k), sum);
        }
        *score = sum.sum();
    }
    let factor = I::V::splat(rows::softmax_unnormalised::<I::V>(scores, n));
    for (column, out) in out[..hd].chunks_mut(16).enumerate() {
        let from = column * 16;
        let mut sum = I::V::splat(0.0);
        for (value, p) in values.chunks_exact(hd).zip(scores.iter()) {
            sum = I::V::load_up_to_16(&value[from..from + out.len()]).fma(I::V::splat(*p), sum);
        }
        let mut lanes = [0.0; 16];
        sum.mul(factor).store(&mut lanes);
        out.copy_from_slice(&lanes[..out.len()]);
    }
}
