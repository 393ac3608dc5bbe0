//! AVX2 + FMA: two registers are the sixteen lanes; bytes are widened to words, whose products (`vpmaddwd`) are exact.

use std::arch::x86_64::*;

use super::{Instructions, Sums, panel_mut};
use crate::lanes::F32x16;

/// Sixteen lanes in two registers.
#[derive(Clone, Copy)]
pub(crate) struct Ymm2(__m256, __m256);

/// Every intrinsic below is reached only through `Kernels`, whose construction proved that the CPU has the set.
macro_rules! proven {
    ($e:expr) => {
        // SAFETY: see the macro's comment; loads and stores go through references to arrays of the registers' size.
        unsafe { $e }
    };
}

/// The last three steps of the fixed tree.
///
/// # Safety
/// The CPU has AVX.
#[inline(always)]
pub(super) unsafe fn sum_of_eight(eight: __m256) -> f32 {
    proven!({
        let four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    })
}

/// Four rows of eight integral values as bytes side by side.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn quads(rows: [__m256; 4]) -> __m256i {
    proven!({
        let byte = _mm256_set1_epi32(255);
        let (a, b) = (_mm256_cvtps_epi32(rows[0]), _mm256_cvtps_epi32(rows[1]));
        let (c, d) = (_mm256_cvtps_epi32(rows[2]), _mm256_cvtps_epi32(rows[3]));
        let low = _mm256_or_si256(_mm256_and_si256(a, byte), _mm256_slli_epi32::<8>(_mm256_and_si256(b, byte)));
        let high = _mm256_or_si256(_mm256_slli_epi32::<16>(_mm256_and_si256(c, byte)), _mm256_slli_epi32::<24>(d));
        _mm256_or_si256(low, high)
    })
}

macro_rules! lanewise {
    ($($name:ident => $intrinsic:ident;)*) => {
        $(#[inline(always)]
        fn $name(self, b: Self) -> Self {
            Ymm2(proven!($intrinsic(self.0, b.0)), proven!($intrinsic(self.1, b.1)))
        })*
    };
}

impl F32x16 for Ymm2 {
    lanewise! {
        add => _mm256_add_ps;
        sub => _mm256_sub_ps;
        mul => _mm256_mul_ps;
        div => _mm256_div_ps;
        max => _mm256_max_ps;
        min => _mm256_min_ps;
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        let x = proven!(_mm256_set1_ps(x));
        Ymm2(x, x)
    }
    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        Ymm2(proven!(_mm256_loadu_ps(x.as_ptr())), proven!(_mm256_loadu_ps(x.as_ptr().add(8))))
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        proven!({
            _mm256_storeu_ps(out.as_mut_ptr(), self.0);
            _mm256_storeu_ps(out.as_mut_ptr().add(8), self.1);
        });
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Ymm2(proven!(_mm256_fmadd_ps(self.0, b.0, c.0)), proven!(_mm256_fmadd_ps(self.1, b.1, c.1)))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        proven!({
            let sign = _mm256_set1_ps(-0.0);
            Ymm2(_mm256_andnot_ps(sign, self.0), _mm256_andnot_ps(sign, self.1))
        })
    }
    #[inline(always)]
    fn round(self) -> Self {
        proven!(Ymm2(
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0),
            _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.1),
        ))
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        let half = |v| {
            proven!({
                let n = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(n))
            })
        };
        Ymm2(half(self.0), half(self.1))
    }
    #[inline(always)]
    fn scale_by(self, shifted: Self) -> Self {
        let half = |x, shifted| {
            proven!({
                let n = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted));
                _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), n))
            })
        };
        Ymm2(half(self.0, shifted.0), half(self.1, shifted.1))
    }
    #[inline(always)]
    fn store_u8(self, out: &mut [u8; 16]) {
        proven!({
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(self.0), _mm256_cvtps_epi32(self.1));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(out.as_mut_ptr().cast(), bytes);
        });
    }
    #[inline(always)]
    fn store_quads(rows: [Self; 4], out: &mut [i8; 64]) {
        let [r0, r1, r2, r3] = rows;
        proven!({
            _mm256_storeu_si256(out.as_mut_ptr().cast(), quads([r0.0, r1.0, r2.0, r3.0]));
            _mm256_storeu_si256(out.as_mut_ptr().add(32).cast(), quads([r0.1, r1.1, r2.1, r3.1]));
        });
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        proven!(sum_of_eight(_mm256_add_ps(self.0, self.1)))
    }
    #[inline(always)]
    fn reduce_max(self) -> f32 {
        proven!({
            let eight = _mm256_max_ps(self.0, self.1);
            let four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
            _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
        })
    }
    #[inline(always)]
    fn store_biased_u8(self, out: &mut [u8; 16]) {
        proven!({
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(self.0), _mm256_cvtps_epi32(self.1));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(out.as_mut_ptr().cast(), _mm_xor_si128(bytes, _mm_set1_epi8(-128)));
        });
    }
    #[inline(always)]
    fn from_i32(x: &[i32; 16]) -> Self {
        proven!(Ymm2(
            _mm256_cvtepi32_ps(_mm256_loadu_si256(x.as_ptr().cast())),
            _mm256_cvtepi32_ps(_mm256_loadu_si256(x.as_ptr().add(8).cast())),
        ))
    }
    #[inline(always)]
    fn from_difference(x: &[i32; 16], y: &[i32; 16]) -> Self {
        proven!({
            let low = _mm256_sub_epi32(_mm256_loadu_si256(x.as_ptr().cast()), _mm256_loadu_si256(y.as_ptr().cast()));
            let (x, y) = (x.as_ptr().add(8).cast(), y.as_ptr().add(8).cast());
            let high = _mm256_sub_epi32(_mm256_loadu_si256(x), _mm256_loadu_si256(y));
            Ymm2(_mm256_cvtepi32_ps(low), _mm256_cvtepi32_ps(high))
        })
    }
    #[inline(always)]
    fn sum_bytes(x: &[u8; 64]) -> u32 {
        proven!({
            let zero = _mm256_setzero_si256();
            let low = _mm256_sad_epu8(_mm256_loadu_si256(x.as_ptr().cast()), zero);
            let high = _mm256_sad_epu8(_mm256_loadu_si256(x.as_ptr().add(32).cast()), zero);
            let four = _mm256_add_epi64(low, high);
            let two = _mm_add_epi64(_mm256_castsi256_si128(four), _mm256_extracti128_si256::<1>(four));
            (_mm_cvtsi128_si64(two) + _mm_extract_epi64::<1>(two)) as u32
        })
    }
}

/// Groups whose activations are widened at a time: with 4 rows 8 KB of the stack, and all of it stays in the first cache.
const DEPTH: usize = 256;

/// Activations of some groups of a row as words: bytes 0 and 2 of a group in the low half, 1 and 3 in the high half.
type Words = [u64; DEPTH];

/// words[g] = the four bytes of group g, each as a word.
///
/// # Safety
/// The CPU has AVX2; `a` is readable for 4 bytes a word.
#[inline(always)]
unsafe fn widen(a: *const u8, words: &mut [u64]) {
    let (eights, rest) = words.as_chunks_mut::<8>();
    let done = eights.len() * 32;
    // SAFETY: the caller's contract; 32 bytes of `a` and 64 of `words` at a time.
    unsafe {
        let low = _mm256_set1_epi16(255);
        for (i, words) in eights.iter_mut().enumerate() {
            let bytes = _mm256_loadu_si256(a.add(32 * i).cast());
            let (even, odd) = (_mm256_and_si256(bytes, low), _mm256_srli_epi16::<8>(bytes));
            let (first, second) = (_mm256_unpacklo_epi32(even, odd), _mm256_unpackhi_epi32(even, odd));
            let words = words.as_mut_ptr().cast::<__m256i>();
            _mm256_storeu_si256(words, _mm256_permute2x128_si256::<0x20>(first, second));
            _mm256_storeu_si256(words.add(1), _mm256_permute2x128_si256::<0x31>(first, second));
        }
        for (i, words) in rest.iter_mut().enumerate() {
            let bytes = u64::from(a.add(done + 4 * i).cast::<u32>().read_unaligned());
            *words = (bytes & 0x00ff_00ff) | (bytes >> 8 & 0x00ff_00ff) << 32;
        }
    }
}

/// The product of MR ≤ 4 rows with `panels` panels, panel `first` of `out` the first of them.
///
/// # Safety
/// As [`Instructions::tile_i8`], with `panels` for NP.
#[inline(always)]
unsafe fn strip<const MR: usize>(
    panels: usize,
    groups: usize,
    a: *const u8,
    lda: usize,
    b: *const i8,
    offset: *const i32,
    out: &mut [Sums],
    first: usize,
) {
    let mut words = [[0; DEPTH]; MR];
    let mut begin = 0;
    loop {
        let depth = (groups - begin).min(DEPTH);
        // SAFETY: the caller's contract, for `depth` groups from `begin` on.
        unsafe {
            for (r, words) in words.iter_mut().enumerate() {
                widen(a.add(r * lda + 4 * begin), &mut words[..depth]);
            }
            for p in 0..panels {
                let b = b.add((p * groups + begin) * 64);
                let start = (begin == 0).then(|| offset.add(p * 16));
                panel::<MR>(depth, &words, b, start, out, first + p);
            }
        }
        begin += depth;
        if begin == groups {
            break;
        }
    }
}

/// out[r][panel] = start + Σ words·b over `depth` ≤ DEPTH groups; without `start`, on top of what is there.
///
/// # Safety
/// The CPU has AVX2; `b` is readable for 64 bytes a group, `start` for 16 values.
#[inline(always)]
unsafe fn panel<const MR: usize>(
    depth: usize,
    words: &[Words; MR],
    b: *const i8,
    start: Option<*const i32>,
    out: &mut [Sums],
    panel: usize,
) {
    // SAFETY: the caller's contract; depth ≤ DEPTH, and a word is two halves of 32 bits.
    unsafe {
        let mut acc = [[_mm256_setzero_si256(); 2]; MR];
        for (r, acc) in acc.iter_mut().enumerate() {
            let from = start.unwrap_or(panel_mut(&mut out[r], panel).as_ptr());
            *acc = [_mm256_loadu_si256(from.cast()), _mm256_loadu_si256(from.add(8).cast())];
        }
        for k in 0..depth.min(DEPTH) {
            let bytes: [__m256i; 2] =
                [_mm256_loadu_si256(b.add(k * 64).cast()), _mm256_loadu_si256(b.add(k * 64 + 32).cast())];
            let even = bytes.map(|b| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(b)));
            let odd = bytes.map(|b| _mm256_srai_epi16::<8>(b));
            for (words, acc) in words.iter().zip(&mut acc) {
                let halves = words.as_ptr().add(k).cast::<i32>();
                let (low, high) = (_mm256_set1_epi32(*halves), _mm256_set1_epi32(*halves.add(1)));
                for ((acc, even), odd) in acc.iter_mut().zip(even).zip(odd) {
                    // two products of a byte with a signed byte: far within i32
                    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(low, even));
                    *acc = _mm256_add_epi32(*acc, _mm256_madd_epi16(high, odd));
                }
            }
        }
        for (r, acc) in acc.iter().enumerate() {
            let out = panel_mut(&mut out[r], panel).as_mut_ptr();
            _mm256_storeu_si256(out.cast(), acc[0]);
            _mm256_storeu_si256(out.add(8).cast(), acc[1]);
        }
    }
}

/// AVX2 + FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2;

// SAFETY: run only behind Isa::is_available, in functions compiled with the features (see kernels.rs).
unsafe impl Instructions for Avx2 {
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
        // SAFETY: the caller's contract.
        unsafe { strip::<MR>(NP, groups, a, lda, b, offset, out, first) }
    }

    #[inline(always)]
    unsafe fn product_i8(
        rows: usize,
        panels: usize,
        groups: usize,
        a: *const u8,
        lda: usize,
        b: *const i8,
        offset: *const i32,
        out: &mut [Sums],
    ) {
        for row in (0..rows).step_by(Self::MR) {
            let out = &mut out[row..];
            // SAFETY: the caller's contract, for at most 4 of its rows.
            unsafe {
                let a = a.add(row * lda);
                match rows - row {
                    1 => strip::<1>(panels, groups, a, lda, b, offset, out, 0),
                    2 => strip::<2>(panels, groups, a, lda, b, offset, out, 0),
                    3 => strip::<3>(panels, groups, a, lda, b, offset, out, 0),
                    _ => strip::<4>(panels, groups, a, lda, b, offset, out, 0),
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
                let mut acc = [[_mm256_setzero_ps(); 2]; MR];
                for i in 0..k {
                    let bv = [_mm256_loadu_ps(b.add(i * 16)), _mm256_loadu_ps(b.add(i * 16 + 8))];
                    for (r, acc) in acc.iter_mut().enumerate() {
                        let av = _mm256_set1_ps(*a.add(r * lda + i));
                        acc[0] = _mm256_fmadd_ps(av, bv[0], acc[0]);
                        acc[1] = _mm256_fmadd_ps(av, bv[1], acc[1]);
                    }
                }
                for (acc, out) in acc.iter().zip(&mut *out) {
                    _mm256_storeu_ps(out[p].as_mut_ptr(), acc[0]);
                    _mm256_storeu_ps(out[p].as_mut_ptr().add(8), acc[1]);
                }
            }
        }
    }
}
