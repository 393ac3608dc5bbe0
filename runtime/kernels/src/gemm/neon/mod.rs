//! Baseline NEON: four registers are the sixteen lanes; bytes are multiplied to 16 bits and added up in pairs.

use std::arch::aarch64::*;

use super::{Instructions, Sums, panel_mut};
use crate::lanes::F32x16;

/// Sixteen lanes in four registers.
#[derive(Clone, Copy)]
pub(crate) struct Quad4([float32x4_t; 4]);

/// Every intrinsic below is reached only through `Kernels`, whose construction proved that the CPU has the set.
macro_rules! proven {
    ($e:expr) => {
        // SAFETY: see the macro's comment; loads and stores go through references to arrays of the registers' size.
        unsafe { $e }
    };
}

macro_rules! lanewise {
    ($($name:ident => |$a:ident, $b:ident| $e:expr;)*) => {
        $(#[inline(always)]
        fn $name(self, b: Self) -> Self {
            let mut out = self;
            for i in 0..4 {
                let ($a, $b) = (self.0[i], b.0[i]);
                out.0[i] = proven!($e);
            }
            out
        })*
    };
}

macro_rules! unary {
    ($($name:ident => |$a:ident| $e:expr;)*) => {
        $(#[inline(always)]
        fn $name(self) -> Self {
            let mut out = self;
            for i in 0..4 {
                let $a = self.0[i];
                out.0[i] = proven!($e);
            }
            out
        })*
    };
}

impl Quad4 {
    /// The low bytes of the nearest integers, ties to even.
    #[inline(always)]
    fn bytes(self) -> int8x16_t {
        let [a, b, c, d] = self.0;
        proven!({
            let low = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(a)), vmovn_s32(vcvtnq_s32_f32(b)));
            let high = vcombine_s16(vmovn_s32(vcvtnq_s32_f32(c)), vmovn_s32(vcvtnq_s32_f32(d)));
            vcombine_s8(vmovn_s16(low), vmovn_s16(high))
        })
    }
}

impl F32x16 for Quad4 {
    lanewise! {
        add => |a, b| vaddq_f32(a, b);
        sub => |a, b| vsubq_f32(a, b);
        mul => |a, b| vmulq_f32(a, b);
        div => |a, b| vdivq_f32(a, b);
        max => |a, b| vbslq_f32(vcgtq_f32(a, b), a, b);
        min => |a, b| vbslq_f32(vcltq_f32(a, b), a, b);
        scale_by => |a, b| {
            let n = vshlq_n_s32::<23>(vreinterpretq_s32_f32(b));
            vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(a), n))
        };
    }
    unary! {
        abs => |a| vabsq_f32(a);
        round => |a| vrndnq_f32(a);
        pow2 => |a| vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(vcvtnq_s32_f32(a), vdupq_n_s32(127))));
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Quad4([proven!(vdupq_n_f32(x)); 4])
    }
    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        let mut out = [proven!(vdupq_n_f32(0.0)); 4];
        for (out, x) in out.iter_mut().zip(x.as_chunks::<4>().0) {
            *out = proven!(vld1q_f32(x.as_ptr()));
        }
        Quad4(out)
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        for (x, out) in self.0.into_iter().zip(out.as_chunks_mut::<4>().0) {
            proven!(vst1q_f32(out.as_mut_ptr(), x));
        }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        let mut out = self;
        for i in 0..4 {
            out.0[i] = proven!(vfmaq_f32(c.0[i], self.0[i], b.0[i]));
        }
        out
    }
    #[inline(always)]
    fn store_biased_u8(self, out: &mut [u8; 16]) {
        let bytes = self.bytes();
        proven!(vst1q_u8(out.as_mut_ptr(), veorq_u8(vreinterpretq_u8_s8(bytes), vdupq_n_u8(128))));
    }
    #[inline(always)]
    fn store_u8(self, out: &mut [u8; 16]) {
        let bytes = self.bytes();
        proven!(vst1q_u8(out.as_mut_ptr(), vreinterpretq_u8_s8(bytes)));
    }
    #[inline(always)]
    fn store_quads(rows: [Self; 4], out: &mut [i8; 64]) {
        let [a, b, c, d] = rows;
        let four = int8x16x4_t(a.bytes(), b.bytes(), c.bytes(), d.bytes());
        proven!(vst4q_s8(out.as_mut_ptr(), four));
    }
    #[inline(always)]
    fn from_i32(x: &[i32; 16]) -> Self {
        Self::from_difference(x, &[0; 16])
    }
    #[inline(always)]
    fn from_difference(x: &[i32; 16], y: &[i32; 16]) -> Self {
        let mut out = [proven!(vdupq_n_f32(0.0)); 4];
        for ((out, x), y) in out.iter_mut().zip(x.as_chunks::<4>().0).zip(y.as_chunks::<4>().0) {
            *out = proven!(vcvtq_f32_s32(vsubq_s32(vld1q_s32(x.as_ptr()), vld1q_s32(y.as_ptr()))));
        }
        Quad4(out)
    }
    #[inline(always)]
    fn sum_bytes(x: &[u8; 64]) -> u32 {
        let mut sum = 0;
        for x in x.as_chunks::<16>().0 {
            sum += u32::from(proven!(vaddlvq_u8(vld1q_u8(x.as_ptr()))));
        }
        sum
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let [a, b, c, d] = self.0;
        proven!({
            let four = vaddq_f32(vaddq_f32(a, c), vaddq_f32(b, d));
            let two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
            vget_lane_f32::<0>(two) + vget_lane_f32::<1>(two)
        })
    }
    #[inline(always)]
    fn reduce_max(self) -> f32 {
        let [a, b, c, d] = self.0;
        proven!(vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(a, b), vmaxnmq_f32(c, d))))
    }
}

/// NEON as every ARMv8 has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon;

// SAFETY: run only behind Isa::is_available, in functions compiled with the features (see kernels.rs).
unsafe impl Instructions for Neon {
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
        for p in 0..NP {
            for r in (0..MR).step_by(2) {
                // SAFETY: the caller vouches for the lengths (trait contract) and for the CPU.
                unsafe {
                    let b = b.add(p * groups * 64);
                    if r + 1 < MR {
                        rows_i8::<2>(groups, a.add(r * lda), lda, b, &mut out[r..], first + p);
                    } else {
                        rows_i8::<1>(groups, a.add(r * lda), lda, b, &mut out[r..], first + p);
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
        // SAFETY: the caller vouches for the lengths (trait contract) and for the CPU.
        unsafe {
            for p in 0..NP {
                let b = b.add(p * k * 16);
                let mut acc = [[vdupq_n_f32(0.0); 4]; MR];
                for i in 0..k {
                    let b = b.add(i * 16);
                    let bv = [vld1q_f32(b), vld1q_f32(b.add(4)), vld1q_f32(b.add(8)), vld1q_f32(b.add(12))];
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let av = vdupq_n_f32(*a.add(r * lda + i));
                        for (acc, bv) in acc.iter_mut().zip(bv) {
                            *acc = vfmaq_f32(*acc, av, bv);
                        }
                    }
                }
                for (acc, out) in acc.iter().zip(&mut *out) {
                    Quad4(*acc).store(&mut out[p]);
                }
            }
        }
    }
}

/// One panel for R rows. Two products of bytes, at most 2·128·127, fit 16 bits; neighbours are then added into 32.
///
/// # Safety
/// As `tile_i8` with R rows and one panel.
#[inline(always)]
unsafe fn rows_i8<const R: usize>(
    groups: usize,
    a: *const u8,
    lda: usize,
    b: *const i8,
    out: &mut [Sums],
    panel: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        let mut acc = [[vdupq_n_s32(0); 8]; R];
        for k in (0..groups).step_by(2) {
            let pair = k + 1 < groups;
            for (r, acc) in acc.iter_mut().enumerate() {
                let now = signed(a.add(r * lda + 4 * k));
                let next = if pair { signed(a.add(r * lda + 4 * k + 4)) } else { vdup_n_s8(0) };
                for (q, acc) in acc.as_chunks_mut::<2>().0.iter_mut().enumerate() {
                    let bv = vld1q_s8(b.add(k * 64 + q * 16));
                    let mut low = vmull_s8(vget_low_s8(bv), now);
                    let mut high = vmull_s8(vget_high_s8(bv), now);
                    if pair {
                        let bv = vld1q_s8(b.add((k + 1) * 64 + q * 16));
                        low = vmlal_s8(low, vget_low_s8(bv), next);
                        high = vmlal_s8(high, vget_high_s8(bv), next);
                    }
                    acc[0] = vpadalq_s16(acc[0], low);
                    acc[1] = vpadalq_s16(acc[1], high);
                }
            }
        }
        for (acc, out) in acc.iter().zip(out) {
            let out = panel_mut(out, panel).as_mut_ptr();
            for (q, acc) in acc.as_chunks::<2>().0.iter().enumerate() {
                vst1q_s32(out.add(4 * q), vpaddq_s32(acc[0], acc[1]));
            }
        }
    }
}

/// Four bytes twice, the zero point of 128 taken off.
///
/// # Safety
/// `a` is readable for four bytes.
#[inline(always)]
unsafe fn signed(a: *const u8) -> int8x8_t {
    // SAFETY: the caller's contract.
    unsafe {
        let four = a.cast::<u32>().read_unaligned() ^ 0x8080_8080;
        vreinterpret_s8_u32(vdup_n_u32(four))
    }
}
