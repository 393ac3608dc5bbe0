//! AVX2 with the 256-bit `vpdpbusd`; the float side is AVX2's.

use std::arch::x86_64::*;

use super::avx2::{Avx2, Ymm2};
use super::{Instructions, Sums, panel_mut};

/// AVX2 + FMA + AVX-VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AvxVnni;

// SAFETY: run only behind Isa::is_available, in functions compiled with the features (see kernels.rs).
unsafe impl Instructions for AvxVnni {
    type V = Ymm2;
    const MR: usize = 4;
    // 6·2 sums, two loads and one broadcast fill 15 of 16 registers; 8 sums would just cover the latency of 2 units
    const MR_F32: usize = 6;
    const NP: usize = 1;

    #[inline(always)]
    unsafe fn tile_i8<const MR: usize, const NP: usize>(
        groups: usize,
        a: *const u8,
        lda: usize,
        b: *const i8,
        offset: *const i32,
        out: &mut [Sums],
        first: usize,
    ) {
        // SAFETY: the caller vouches for the lengths (trait contract) and for the CPU.
        unsafe {
            for p in 0..NP {
                let b = b.add(p * groups * 64);
                let offset = offset.add(p * 16);
                let start: [__m256i; 2] = [_mm256_loadu_si256(offset.cast()), _mm256_loadu_si256(offset.add(8).cast())];
                let mut acc = [start; MR];
                for k in 0..groups {
                    let bv: [__m256i; 2] =
                        [_mm256_loadu_si256(b.add(k * 64).cast()), _mm256_loadu_si256(b.add(k * 64 + 32).cast())];
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let av = _mm256_set1_epi32(a.add(r * lda + k * 4).cast::<i32>().read_unaligned());
                        acc[0] = _mm256_dpbusd_avx_epi32(acc[0], av, bv[0]);
                        acc[1] = _mm256_dpbusd_avx_epi32(acc[1], av, bv[1]);
                    }
                }
                for (r, acc) in acc.iter().enumerate() {
                    let out = panel_mut(&mut out[r], first + p).as_mut_ptr();
                    _mm256_storeu_si256(out.cast(), acc[0]);
                    _mm256_storeu_si256(out.add(8).cast(), acc[1]);
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
        // SAFETY: the same contract, handed on; AVX-VNNI implies AVX2 here (Isa::is_available).
        unsafe { Avx2::tile_f32::<MR, NP>(k, a, lda, b, out) }
    }
}
