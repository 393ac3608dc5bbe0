//! NEON with `sdot`: sixteen multiply-adds, four bytes of a row with four columns of a panel.

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon::{Neon, Quad4};
use super::{Instructions, Sums, panel_mut};

/// NEON + dot products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeonDotprod;

/// acc + four dot products of b's fours with the `$lane`th four of a. The intrinsic is not stable yet.
macro_rules! sdot {
    ($lane:literal, $acc:expr, $b:expr, $a:expr) => {
        asm!(
            ".arch_extension dotprod",
            concat!("sdot {acc:v}.4s, {b:v}.16b, {a:v}.4b[", $lane, "]"),
            acc = inout(vreg) $acc,
            b = in(vreg) $b,
            a = in(vreg) $a,
            options(pure, nomem, nostack, preserves_flags),
        )
    };
}

/// All rows with one group of four k.
macro_rules! step {
    ($lane:literal, $acc:expr, $av:expr, $b:expr) => {
        let b = $b;
        let bv = [vld1q_s8(b), vld1q_s8(b.add(16)), vld1q_s8(b.add(32)), vld1q_s8(b.add(48))];
        for (acc, av) in $acc.iter_mut().zip($av) {
            for (acc, bv) in acc.iter_mut().zip(bv) {
                sdot!($lane, *acc, bv, av);
            }
        }
    };
}

// SAFETY: run only behind Isa::is_available, in functions compiled with the features (see kernels.rs).
unsafe impl Instructions for NeonDotprod {
    type V = Quad4;
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
        // SAFETY: the caller vouches for the lengths (trait contract) and for the CPU.
        unsafe {
            let flip = vdupq_n_u8(128);
            for p in 0..NP {
                let b = b.add(p * groups * 64);
                let mut acc = [[vdupq_n_s32(0); 4]; MR];
                let mut av = [vdupq_n_s8(0); MR];
                let mut k = 0;
                while k + 4 <= groups {
                    for (r, av) in av.iter_mut().enumerate() {
                        *av = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(a.add(r * lda + 4 * k)), flip));
                    }
                    let b = b.add(k * 64);
                    step!(0, acc, av, b);
                    step!(1, acc, av, b.add(64));
                    step!(2, acc, av, b.add(128));
                    step!(3, acc, av, b.add(192));
                    k += 4;
                }
                while k < groups {
                    for (r, av) in av.iter_mut().enumerate() {
                        let four = a.add(r * lda + 4 * k).cast::<u32>().read_unaligned() ^ 0x8080_8080;
                        *av = vreinterpretq_s8_u32(vdupq_n_u32(four));
                    }
                    step!(0, acc, av, b.add(k * 64));
                    k += 1;
                }
                for (acc, out) in acc.iter().zip(&mut *out) {
                    let out = panel_mut(out, first + p).as_mut_ptr();
                    for (q, acc) in acc.iter().enumerate() {
                        vst1q_s32(out.add(4 * q), *acc);
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
        // SAFETY: the same contract, handed on.
        unsafe { Neon::tile_f32::<MR, NP>(k, a, lda, b, out) }
    }
}
