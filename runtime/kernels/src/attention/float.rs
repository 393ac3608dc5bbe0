//! Attention of one head in f32, in a fixed order: scores of a strip of queries, softmax, values.

use crate::gemm::{Instructions, multiply_panels};
use crate::rows;

/// Keys of one head as panels `[T/16][hd][16]` and values as panels `[hd/16][T][16]`, zero-padded.
/// `qkv` is [T, 3D] with q|k|v; the head's columns start at `head·hd` in each.
pub(crate) fn pack_head(shape: super::HeadShape, head: usize, qkv: &[f32], keys: &mut [f32], values: &mut [f32]) {
    let super::HeadShape { tokens, width, head_dim } = shape;
    keys.fill(0.0);
    values.fill(0.0);
    for (t, row) in qkv.chunks_exact(3 * width).enumerate().take(tokens) {
        let key = &row[width + head * head_dim..][..head_dim];
        let panel = &mut keys[t / 16 * head_dim * 16..];
        for (i, k) in key.iter().enumerate() {
            panel[i * 16 + t % 16] = *k;
        }
        let value = &row[2 * width + head * head_dim..][..head_dim];
        for (p, v) in value.chunks(16).enumerate() {
            values[(p * tokens + t) * 16..][..v.len()].copy_from_slice(v);
        }
    }
}

/// out[r][..hd] = softmax(q·kᵀ)·v for `rows` ≤ MR_F32 queries, whose rows lie in `queries` with stride `ldq`; q already
/// carries 1/√hd. `scores` is scratch of rows × (T rounded up to 16). `probabilities`, when given, gets the first row's T.
#[inline(always)]
pub(crate) fn attend<I: Instructions>(
    rows: usize,
    tokens: usize,
    head_dim: usize,
    queries: &[f32],
    ldq: usize,
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
    ldo: usize,
    probabilities: Option<&mut [f32]>,
) {
    let lds = tokens.div_ceil(16) * 16;
    multiply_panels::<I>(rows, head_dim, queries, ldq, keys, lds, scores, lds);
    let mut factors = [0.0; 6];
    for (r, factor) in factors.iter_mut().enumerate().take(rows) {
        *factor = rows::softmax_unnormalised::<I::V>(&mut scores[r * lds..(r + 1) * lds], tokens);
    }
    if let Some(p) = probabilities {
        for (p, s) in p.iter_mut().zip(&scores[..tokens]) {
            *p = s * factors[0];
        }
    }
    multiply_panels::<I>(rows, tokens, scores, lds, values, head_dim, out, ldo);
    for (r, factor) in factors.iter().enumerate().take(rows) {
        rows::scale::<I::V>(&mut out[r * ldo..r * ldo + head_dim], *factor);
    }
}
