//! Matrix products out = epilogue(a · w): one tile per instruction set, one driver for all.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod amx_int8;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512_vnni;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx_vnni;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon_dotprod;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon_i8mm;
pub(crate) mod scalar;

use crate::lanes::F32x16;
use crate::math;
use crate::pack::{PackedF32, PackedI8};

/// What happens to a result before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epilogue {
    /// out = y
    Store,
    /// out = GELU(y)
    Gelu,
    /// out = out + y
    Residual,
}

/// Most rows of an integer product, over all sets.
pub(crate) const MAX_ROWS: usize = 16;

/// Integer sums of up to 16 rows and 4 panels of 16 columns.
#[repr(C, align(64))]
pub(crate) struct Product(pub [Sums; MAX_ROWS]);

/// One row of a product.
pub(crate) type Sums = [i32; 64];

impl Product {
    pub const ZERO: Product = Product([[0; 64]; MAX_ROWS]);

    /// The sums of one row in one panel.
    #[inline(always)]
    pub fn panel(&self, row: usize, panel: usize) -> &[i32; 16] {
        &self.0[row].as_chunks::<16>().0[panel]
    }
}

/// The sums of one panel in a row.
#[inline(always)]
fn panel_mut(row: &mut Sums, panel: usize) -> &mut [i32; 16] {
    &mut row.as_chunks_mut::<16>().0[panel]
}

/// The tiles of one instruction set.
///
/// # Safety
/// An implementor's functions may only run on a CPU that has the set, in a function compiled with its features.
pub(crate) unsafe trait Instructions {
    /// Its sixteen lanes.
    type V: F32x16;
    /// Rows of an integer tile, at most 6.
    const MR: usize;
    /// Rows of a float tile, at most 6.
    const MR_F32: usize = Self::MR;
    /// Panels (of 16 columns) of a tile.
    const NP: usize;
    /// Most rows of a product, at most [`MAX_ROWS`].
    const ROWS: usize = Self::MR;
    /// How many values of k lie side by side in the packed operand.
    const GROUP: usize = 4;

    /// Called before the products of an operation, by the thread that makes them.
    ///
    /// # Safety
    /// The CPU has the set.
    #[inline(always)]
    unsafe fn begin() {}

    /// Called after them.
    ///
    /// # Safety
    /// As [`Instructions::begin`].
    #[inline(always)]
    unsafe fn end() {}

    /// out[r][first + p] = Σₖ (a[r][k] − 128)·b[p][k][c], exact, for MR rows and NP panels. `b` is packed
    /// `[p][k/G][16][G]`, `offset` is `[p][16]` with −128·Σₖ b. b ∈ [−127, 127].
    ///
    /// # Safety
    /// `a` is readable for G·groups bytes in each of MR rows of stride `lda`, `b` for NP·groups·16·G, `offset` for NP·16.
    unsafe fn tile_i8<const MR: usize, const NP: usize>(
        groups: usize,
        a: *const u8,
        lda: usize,
        b: *const i8,
        offset: *const i32,
        out: &mut [Sums],
        first: usize,
    );

    /// The same for `rows` ≤ ROWS rows and `panels` ≤ 4 panels, by tiles.
    ///
    /// # Safety
    /// As [`Instructions::tile_i8`], for `rows` and `panels`.
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
        // SAFETY: the caller's contract, panel by panel.
        unsafe { by_tiles::<Self>(rows, panels, groups, a, lda, b, offset, out) }
    }

    /// out[r][p][c] = Σₖ a[r][k]·b[p][k][c], k ascending, one fused multiply-add each. `b` is packed `[p][k][16]`.
    ///
    /// # Safety
    /// `a` is readable for k values in each of MR rows of stride `lda`, `b` for NP·k·16.
    unsafe fn tile_f32<const MR: usize, const NP: usize>(
        k: usize,
        a: *const f32,
        lda: usize,
        b: *const f32,
        out: &mut [[[f32; 16]; NP]; MR],
    );
}

/// Calls `$f::<MR, NP>` with the run-time row count as a constant.
macro_rules! with_rows {
    ($rows:expr, $i:ty, $f:ident, $np:expr, ($($arg:expr),*)) => {
        match $rows {
            1 => $f::<$i, 1, { $np }>($($arg),*),
            2 => $f::<$i, 2, { $np }>($($arg),*),
            3 => $f::<$i, 3, { $np }>($($arg),*),
            4 => $f::<$i, 4, { $np }>($($arg),*),
            5 => $f::<$i, 5, { $np }>($($arg),*),
            _ => $f::<$i, 6, { $np }>($($arg),*),
        }
    };
}

/// # Safety
/// As [`Instructions::tile_i8`].
#[inline(always)]
unsafe fn tile<I: Instructions + ?Sized, const MR: usize, const NP: usize>(
    groups: usize,
    a: *const u8,
    lda: usize,
    b: *const i8,
    offset: *const i32,
    out: &mut [Sums],
    first: usize,
) {
    // SAFETY: the caller's contract.
    unsafe { I::tile_i8::<MR, NP>(groups, a, lda, b, offset, out, first) }
}

/// # Safety
/// As [`Instructions::product_i8`].
#[inline(always)]
pub(crate) unsafe fn by_tiles<I: Instructions + ?Sized>(
    rows: usize,
    panels: usize,
    groups: usize,
    a: *const u8,
    lda: usize,
    b: *const i8,
    offset: *const i32,
    out: &mut [Sums],
) {
    for row in (0..rows).step_by(I::MR) {
        let count = (rows - row).min(I::MR);
        let out = &mut out[row..];
        // SAFETY: the caller's contract.
        unsafe {
            let a = a.add(row * lda);
            if I::NP == 4 && panels == 4 {
                with_rows!(count, I, tile, 4, (groups, a, lda, b, offset, out, 0));
            } else {
                for p in 0..panels {
                    let (b, offset) = (b.add(p * groups * 16 * I::GROUP), offset.add(p * 16));
                    with_rows!(count, I, tile, 1, (groups, a, lda, b, offset, out, p));
                }
            }
        }
    }
}

/// The checked product: `a` has row stride `lda`, `b` and `offset` hold exactly `panels` panels of K = `k` padded values.
#[inline(always)]
pub(crate) fn multiply_i8<I: Instructions>(
    rows: usize,
    panels: usize,
    k: usize,
    a: &[u8],
    lda: usize,
    b: &[i8],
    offset: &[i32],
    out: &mut Product,
) {
    assert!(rows >= 1 && rows <= I::ROWS && panels <= 4 && k.is_multiple_of(I::GROUP), "a product's shape");
    let a = &a[..(rows - 1) * lda + k];
    let b = &b[..panels * 16 * k];
    let offset = &offset[..panels * 16];
    // SAFETY: the three slices have exactly the lengths that product_i8 asks for; the caller was compiled for I.
    unsafe { I::product_i8(rows, panels, k / I::GROUP, a.as_ptr(), lda, b.as_ptr(), offset.as_ptr(), &mut out.0) };
}

/// Stores up to 16 columns of one row.
#[inline(always)]
fn finish<V: F32x16>(y: V, epilogue: Epilogue, out: &mut [f32]) {
    let y = if epilogue == Epilogue::Gelu { math::gelu(y) } else { y };
    if let Ok(out) = <&mut [f32; 16]>::try_from(&mut *out) {
        let y = if epilogue == Epilogue::Residual { V::load(out).add(y) } else { y };
        y.store(out);
    } else {
        let y = if epilogue == Epilogue::Residual { V::load_partial(out).add(y) } else { y };
        let mut lanes = [0.0; 16];
        y.store(&mut lanes);
        out.copy_from_slice(&lanes[..out.len()]);
    }
}

/// out[rows, N] = epilogue(dequantised a · w + bias); `a` is [rows, padded K], `out` has row stride `ldo`.
#[inline(always)]
pub(crate) fn linear_i8<I: Instructions>(
    rows: usize,
    a: &[u8],
    scales: &[f32],
    w: &PackedI8,
    out: &mut [f32],
    ldo: usize,
    epilogue: Epilogue,
) {
    assert_eq!(w.group(), I::GROUP, "weights packed for another instruction set");
    let k = w.padded_k();
    let mut product = Product::ZERO;
    let all = w.n().div_ceil(16);
    // SAFETY: the caller was compiled for I.
    unsafe { I::begin() };
    for panel in (0..all).step_by(4) {
        let panels = (all - panel).min(4);
        let (b, offset) = (&w.panels[panel * 16 * k..], &w.offset[panel * 16..]);
        for row in (0..rows).step_by(I::ROWS) {
            let count = (rows - row).min(I::ROWS);
            multiply_i8::<I>(count, panels, k, &a[row * k..], k, b, offset, &mut product);
            for p in 0..panels {
                let column = (panel + p) * 16;
                let scale = I::V::load(&w.scale[column..].as_chunks::<16>().0[0]);
                let bias = I::V::load(&w.bias[column..].as_chunks::<16>().0[0]);
                let end = w.n().min(column + 16);
                for r in 0..count {
                    let y = I::V::from_i32(product.panel(r, p)).mul(I::V::splat(scales[row + r])).fma(scale, bias);
                    let start = (row + r) * ldo;
                    finish(y, epilogue, &mut out[start + column..start + end]);
                }
            }
        }
    }
    // SAFETY: as above.
    unsafe { I::end() };
}

#[inline(always)]
fn block_f32<I: Instructions, const MR: usize, const NP: usize>(
    row: usize,
    panel: usize,
    a: &[f32],
    lda: usize,
    w: &PackedF32,
    out: &mut [f32],
    ldo: usize,
    epilogue: Epilogue,
) {
    let mut acc = [[[0.0; 16]; NP]; MR];
    product_f32::<I, MR, NP>(w.k(), &a[row * lda..], lda, &w.panels[panel * 16 * w.k()..], &mut acc);
    for (r, acc) in acc.iter().enumerate() {
        let out = &mut out[(row + r) * ldo..(row + r) * ldo + w.n()];
        for (p, acc) in acc.iter().enumerate() {
            let column = (panel + p) * 16;
            let (bias, _) = w.bias[column..column + 16].as_chunks::<16>();
            let y = I::V::load(acc).add(I::V::load(&bias[0]));
            let end = w.n().min(column + 16);
            finish(y, epilogue, &mut out[column..end]);
        }
    }
}

/// The checked call of a f32 tile.
#[inline(always)]
fn product_f32<I: Instructions, const MR: usize, const NP: usize>(
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    acc: &mut [[[f32; 16]; NP]; MR],
) {
    let a = &a[..(MR - 1) * lda + k];
    let b = &b[..NP * 16 * k];
    // SAFETY: both slices have exactly the lengths that tile_f32 asks for; the caller was compiled for I.
    unsafe { I::tile_f32::<MR, NP>(k, a.as_ptr(), lda, b.as_ptr(), acc) };
}

/// out[rows, N] = epilogue(a · w + bias); `a` has row stride `lda`, `out` `ldo`.
#[inline(always)]
pub(crate) fn linear_f32<I: Instructions>(
    rows: usize,
    a: &[f32],
    lda: usize,
    w: &PackedF32,
    out: &mut [f32],
    ldo: usize,
    epilogue: Epilogue,
) {
    let panels = w.n().div_ceil(16);
    let mut panel = 0;
    while panel < panels {
        let wide = I::NP == 4 && panels - panel >= 4;
        let mut row = 0;
        while row < rows {
            let mr = I::MR_F32.min(rows - row);
            if wide {
                with_rows!(mr, I, block_f32, 4, (row, panel, a, lda, w, out, ldo, epilogue));
            } else {
                with_rows!(mr, I, block_f32, 1, (row, panel, a, lda, w, out, ldo, epilogue));
            }
            row += mr;
        }
        panel += if wide { 4 } else { 1 };
    }
}

#[inline(always)]
fn block_plain<I: Instructions, const MR: usize, const NP: usize>(
    panel: usize,
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    n: usize,
    out: &mut [f32],
    ldo: usize,
) {
    let mut acc = [[[0.0; 16]; NP]; MR];
    product_f32::<I, MR, NP>(k, a, lda, &b[panel * 16 * k..], &mut acc);
    for (r, acc) in acc.iter().enumerate() {
        for (p, acc) in acc.iter().enumerate() {
            let column = (panel + p) * 16;
            let end = n.min(column + 16);
            finish(I::V::load(acc), Epilogue::Store, &mut out[r * ldo + column..r * ldo + end]);
        }
    }
}

/// out[rows ≤ MR_F32, n] = a · b with `b` packed in panels `[n/16][k][16]`; no bias. For attention, whose operands are activations.
#[inline(always)]
pub(crate) fn multiply_panels<I: Instructions>(
    rows: usize,
    k: usize,
    a: &[f32],
    lda: usize,
    b: &[f32],
    n: usize,
    out: &mut [f32],
    ldo: usize,
) {
    let panels = n.div_ceil(16);
    let mut panel = 0;
    while panel < panels {
        if I::NP == 4 && panels - panel >= 4 {
            with_rows!(rows, I, block_plain, 4, (panel, k, a, lda, b, n, out, ldo));
            panel += 4;
        } else {
            with_rows!(rows, I, block_plain, 1, (panel, k, a, lda, b, n, out, ldo));
            panel += 1;
        }
    }
}
