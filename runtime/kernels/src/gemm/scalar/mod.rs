//! The truth: plain loops.

use super::{Instructions, Sums, panel_mut};
use crate::lanes::Array16;

/// Plain Rust.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

// SAFETY: needs no CPU feature.
unsafe impl Instructions for Scalar {
    type V = Array16;
    const MR: usize = 4;
    const NP: usize = 1;

    #[inline(always)]
    unsafe fn tile_i8<const MR: usize, const NP: usize>(
        groups: usize,
        a: *const u8,
        lda: usize,
        b: *const i8,
        _offset: *const i32,
        out: &mut [Sums],
        first: usize,
    ) {
        for r in 0..MR {
            // SAFETY: the caller vouches for 4·groups bytes at each of MR rows.
            let a = unsafe { std::slice::from_raw_parts(a.add(r * lda), 4 * groups) };
            for p in 0..NP {
                // SAFETY: the caller vouches for NP panels of groups·64 bytes.
                let b = unsafe { std::slice::from_raw_parts(b.add(p * groups * 64), groups * 64) };
                let out = panel_mut(&mut out[r], first + p);
                *out = [0; 16];
                for (a, b) in a.as_chunks::<4>().0.iter().zip(b.as_chunks::<64>().0) {
                    for (out, b) in out.iter_mut().zip(b.as_chunks::<4>().0) {
                        for (a, b) in a.iter().zip(b) {
                            *out += (i32::from(*a) - 128) * i32::from(*b);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn tile_f32<const MR: usize, const NP: usize>(
        k: usize,
        a: *const f32,
        lda: usize,
        b: *const f32,
        out: &mut [[[f32; 16]; NP]; MR],
    ) {
        for (r, out) in out.iter_mut().enumerate() {
            // SAFETY: the caller vouches for k values at each of MR rows.
            let a = unsafe { std::slice::from_raw_parts(a.add(r * lda), k) };
            for (p, out) in out.iter_mut().enumerate() {
                // SAFETY: the caller vouches for NP panels of k·16 values.
                let b = unsafe { std::slice::from_raw_parts(b.add(p * k * 16), k * 16) };
                *out = [0.0; 16];
                for (a, b) in a.iter().zip(b.as_chunks::<16>().0) {
                    for (out, b) in out.iter_mut().zip(b) {
                        *out = a.mul_add(*b, *out);
                    }
                }
            }
        }
    }
}
