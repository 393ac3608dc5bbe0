//! NEON with `usmmla`: 32 multiply-adds, eight bytes of two rows with eight bytes of two columns.

use std::arch::aarch64::*;
use std::arch::asm;

use super::neon::{Neon, Quad4};
use super::{Instructions, Sums, panel_mut};
use crate::isa::Isa;

/// NEON + matrix products of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NeonI8mm;

/// acc + [row 0·column 0, row 0·column 1, row 1·column 0, row 1·column 1] of unsigned rows and signed columns.
///
/// # Safety
/// The CPU has the instruction. The intrinsic is not stable yet.
#[inline(always)]
unsafe fn usmmla(mut acc: int32x4_t, rows: uint8x16_t, columns: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's contract.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "usmmla {acc:v}.4s, {rows:v}.16b, {columns:v}.16b",
            acc = inout(vreg) acc,
            rows = in(vreg) rows,
            columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    acc
}

// SAFETY: run only behind Isa::is_available, in functions compiled with the features (see kernels.rs).
unsafe impl Instructions for NeonI8mm {
    type V = Quad4;
    const MR: usize = 4;
    const NP: usize = 1;
    const GROUP: usize = Isa::NeonI8mm.group();

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
        // an odd last row is its own partner, whose sums are dropped
        let row = |r: usize| r.min(MR - 1) * lda;
        // SAFETY: the caller vouches for the lengths (trait contract) and for the CPU.
        unsafe {
            for p in 0..NP {
                let b = b.add(p * groups * 128);
                let mut acc = [[vdupq_n_s32(0); 8]; 2];
                for (j, start) in acc[0].iter_mut().enumerate() {
                    let pair = vld1_s32(offset.add(p * 16 + 2 * j));
                    *start = vcombine_s32(pair, pair);
                }
                acc[1] = acc[0];
                let mut k = 0;
                while k + 2 <= groups {
                    for (pair, acc) in acc.iter_mut().enumerate().take(MR.div_ceil(2)) {
                        let even = vreinterpretq_u64_u8(vld1q_u8(a.add(row(2 * pair) + 8 * k)));
                        let odd = vreinterpretq_u64_u8(vld1q_u8(a.add(row(2 * pair + 1) + 8 * k)));
                        let now = vreinterpretq_u8_u64(vzip1q_u64(even, odd));
                        let next = vreinterpretq_u8_u64(vzip2q_u64(even, odd));
                        for (j, acc) in acc.iter_mut().enumerate() {
                            *acc = usmmla(*acc, now, vld1q_s8(b.add(k * 128 + j * 16)));
                        }
                        for (j, acc) in acc.iter_mut().enumerate() {
                            *acc = usmmla(*acc, next, vld1q_s8(b.add((k + 1) * 128 + j * 16)));
                        }
                    }
                    k += 2;
                }
                if k < groups {
                    for (pair, acc) in acc.iter_mut().enumerate().take(MR.div_ceil(2)) {
                        let (even, odd) =
                            (vld1_u8(a.add(row(2 * pair) + 8 * k)), vld1_u8(a.add(row(2 * pair + 1) + 8 * k)));
                        let rows = vcombine_u8(even, odd);
                        for (j, acc) in acc.iter_mut().enumerate() {
                            *acc = usmmla(*acc, rows, vld1q_s8(b.add(k * 128 + j * 16)));
                        }
                    }
                }
                for (r, out) in out.iter_mut().enumerate().take(MR) {
                    let out = panel_mut(out, first + p).as_mut_ptr();
                    for (j, acc) in acc[r / 2].iter().enumerate() {
                        let two = if r % 2 == 0 { vget_low_s32(*acc) } else { vget_high_s32(*acc) };
                        vst1_s32(out.add(2 * j), two);
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
