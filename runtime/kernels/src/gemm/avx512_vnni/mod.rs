//! AVX-512: one register is the sixteen lanes; `vpdpbusd` does 64 multiply-adds.

use std::arch::x86_64::*;

use super::avx2::sum_of_eight;
use super::{Instructions, Sums, panel_mut};
use crate::lanes::F32x16;

/// Sixteen lanes in one register.
#[derive(Clone, Copy)]
pub(crate) struct Zmm(__m512);

/// Every intrinsic below is reached only through `Kernels`, whose construction proved that the CPU has the set.
macro_rules! proven {
    ($e:expr) => {
        // SAFETY: see the macro's comment; loads and stores go through references to arrays of the register's size.
        unsafe { $e }
    };
}

/// Sixteen rows to one register whose lane i holds `$op` over row i, by four rounds of interleaving neighbours.
macro_rules! reduce_rows {
    ($rows:expr, $op:ident) => {
        proven!({
            let mut quads = [_mm512_setzero_ps(); 4];
            for (rows, quad) in $rows.as_chunks::<4>().0.iter().zip(&mut quads) {
                let [a, b, c, d] = *rows;
                let ab = _mm512_castps_pd($op(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
                let cd = _mm512_castps_pd($op(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
                let (low, high) = (_mm512_unpacklo_pd(ab, cd), _mm512_unpackhi_pd(ab, cd));
                *quad = $op(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
            }
            let [a, b, c, d] = quads;
            let ab = $op(_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xdd>(a, b));
            let cd = $op(_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xdd>(c, d));
            Zmm($op(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd)))
        })
    };
}

impl F32x16 for Zmm {
    #[inline(always)]
    fn reduce_rows_max(rows: &[[f32; 16]; 16], _: usize) -> Self {
        let mut registers = [proven!(_mm512_setzero_ps()); 16];
        for (register, row) in registers.iter_mut().zip(rows) {
            *register = Zmm::load(row).0;
        }
        reduce_rows!(registers, _mm512_max_ps)
    }
    #[inline(always)]
    fn sum_rows(rows: &[[u8; 64]; 16], _: usize) -> Self {
        let mut registers = [proven!(_mm512_setzero_ps()); 16];
        for (register, row) in registers.iter_mut().zip(rows) {
            // sums of four bytes; whole numbers, so that any order of adding them up is exact
            *register = proven!({
                let bytes = _mm512_loadu_si512(row.as_ptr().cast());
                _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), bytes, _mm512_set1_epi8(1)))
            });
        }
        reduce_rows!(registers, _mm512_add_ps)
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Zmm(proven!(_mm512_set1_ps(x)))
    }
    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        Zmm(proven!(_mm512_loadu_ps(x.as_ptr())))
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        proven!(_mm512_storeu_ps(out.as_mut_ptr(), self.0));
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Zmm(proven!(_mm512_add_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Zmm(proven!(_mm512_sub_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Zmm(proven!(_mm512_mul_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Zmm(proven!(_mm512_div_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Zmm(proven!(_mm512_fmadd_ps(self.0, b.0, c.0)))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Zmm(proven!(_mm512_max_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        Zmm(proven!(_mm512_min_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Zmm(proven!(_mm512_abs_ps(self.0)))
    }
    #[inline(always)]
    fn round(self) -> Self {
        Zmm(proven!(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)))
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        Zmm(proven!({
            let n = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(n))
        }))
    }
    #[inline(always)]
    fn scale_by(self, shifted: Self) -> Self {
        Zmm(proven!({
            let n = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted.0));
            _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(self.0), n))
        }))
    }
    #[inline(always)]
    fn store_u8(self, out: &mut [u8; 16]) {
        proven!(_mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(self.0))));
    }
    #[inline(always)]
    fn store_quads(rows: [Self; 4], out: &mut [i8; 64]) {
        proven!({
            let byte = _mm512_set1_epi32(255);
            let (a, b) = (_mm512_cvtps_epi32(rows[0].0), _mm512_cvtps_epi32(rows[1].0));
            let (c, d) = (_mm512_cvtps_epi32(rows[2].0), _mm512_cvtps_epi32(rows[3].0));
            let low = _mm512_or_si512(_mm512_and_si512(a, byte), _mm512_slli_epi32::<8>(_mm512_and_si512(b, byte)));
            let high = _mm512_or_si512(_mm512_slli_epi32::<16>(_mm512_and_si512(c, byte)), _mm512_slli_epi32::<24>(d));
            _mm512_storeu_si512(out.as_mut_ptr().cast(), _mm512_or_si512(low, high));
        });
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        proven!({
            let half = _mm256_add_ps(_mm512_castps512_ps256(self.0), _mm512_extractf32x8_ps::<1>(self.0));
            sum_of_eight(half)
        })
    }
    #[inline(always)]
    fn reduce_max(self) -> f32 {
        proven!(_mm512_reduce_max_ps(self.0))
    }
    #[inline(always)]
    fn store_biased_u8(self, out: &mut [u8; 16]) {
        proven!({
            let n = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(128));
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm512_cvtepi32_epi8(n));
        });
    }
    #[inline(always)]
    fn from_i32(x: &[i32; 16]) -> Self {
        Zmm(proven!(_mm512_cvtepi32_ps(_mm512_loadu_si512(x.as_ptr().cast()))))
    }
    #[inline(always)]
    fn from_difference(x: &[i32; 16], y: &[i32; 16]) -> Self {
        proven!({
            let (x, y) = (_mm512_loadu_si512(x.as_ptr().cast()), _mm512_loadu_si512(y.as_ptr().cast()));
            Zmm(_mm512_cvtepi32_ps(_mm512_sub_epi32(x, y)))
        })
    }
    #[inline(always)]
    fn sum_bytes(x: &[u8; 64]) -> u32 {
        proven!({
            let sums = _mm512_sad_epu8(_mm512_loadu_si512(x.as_ptr().cast()), _mm512_setzero_si512());
            _mm512_reduce_add_epi64(sums) as u32
        })
    }
}

/// AVX-512 F/BW/DQ/VL + VNNI.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512Vnni;

// SAFETY: run only behind Isa::is_available, in functions compiled with the features (see kernels.rs).
unsafe impl Instructions for Avx512Vnni {
    type V = Zmm;
    const MR: usize = 6;
    const NP: usize = 4;
    const ROWS: usize = 12;

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
            let mut acc = [[_mm512_setzero_si512(); NP]; MR];
            for p in 0..NP {
                let start = _mm512_loadu_si512(offset.add(p * 16).cast());
                for row in &mut acc {
                    row[p] = start;
                }
            }
            for k in 0..groups {
                let mut bv = [_mm512_setzero_si512(); NP];
                for (p, bv) in bv.iter_mut().enumerate() {
                    *bv = _mm512_loadu_si512(b.add((p * groups + k) * 64).cast());
                }
                for (r, acc) in acc.iter_mut().enumerate() {
                    let av = _mm512_set1_epi32(a.add(r * lda + k * 4).cast::<i32>().read_unaligned());
                    for (acc, bv) in acc.iter_mut().zip(bv) {
                        *acc = _mm512_dpbusd_epi32(*acc, av, bv);
                    }
                }
            }
            for (r, acc) in acc.iter().enumerate() {
                for (p, acc) in acc.iter().enumerate() {
                    _mm512_storeu_si512(panel_mut(&mut out[r], first + p).as_mut_ptr().cast(), *acc);
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
            let mut acc = [[_mm512_setzero_ps(); NP]; MR];
            for i in 0..k {
                let mut bv = [_mm512_setzero_ps(); NP];
                for (p, bv) in bv.iter_mut().enumerate() {
                    *bv = _mm512_loadu_ps(b.add((p * k + i) * 16));
                }
                for (r, acc) in acc.iter_mut().enumerate() {
                    let av = _mm512_set1_ps(*a.add(r * lda + i));
                    for (acc, bv) in acc.iter_mut().zip(bv) {
                        *acc = _mm512_fmadd_ps(av, bv, *acc);
                    }
                }
            }
            for (acc, out) in acc.iter().zip(out) {
                for (acc, out) in acc.iter().zip(out) {
                    _mm512_storeu_ps(out.as_mut_ptr(), *acc);
                }
            }
        }
    }
}
