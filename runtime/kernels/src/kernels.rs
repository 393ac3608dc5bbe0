//! The set of kernels chosen once at start. Constructing one proves that the CPU has it.

use crate::attention;
use crate::gemm::{self, Epilogue, Instructions};
use crate::isa::{Isa, IsaError};
use crate::pack::{PackedF32, PackedI8};
use crate::rows;

/// The operations the engine is made of. Slices are checked; a wrong length is a panic (a programming error).
/// Whatever the set, the results are the same bits.
pub trait Kernels: Send + Sync + std::fmt::Debug {
    /// Which set this is.
    fn isa(&self) -> Isa;

    /// out[rows, N] = epilogue(dequantise(a·w)·scales + bias). `a` is [rows, padded K] with zero at 128.
    fn linear_i8(&self, rows: usize, a: &[u8], scales: &[f32], w: &PackedI8, out: &mut [f32], ldo: usize, e: Epilogue);

    /// out[rows, N] = epilogue(a·w + bias), `a` with row stride `lda`.
    fn linear_f32(&self, rows: usize, a: &[f32], lda: usize, w: &PackedF32, out: &mut [f32], ldo: usize, e: Epilogue);

    /// LayerNorm of each row of `x` [rows, D] into `out` [rows, D].
    fn layer_norm(&self, x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32]);

    /// Quantises each row of `x` [rows, K] into `q` [rows, ldq] and its scale into `scales`.
    fn quantise(&self, x: &[f32], k: usize, q: &mut [u8], ldq: usize, scales: &mut [f32]);

    /// row[..F] ← silu(row[..F])·row[F..] for each row of `x` [rows, 2F].
    fn swiglu(&self, x: &mut [f32], width: usize);

    /// Packs the keys and values of one head of `qkv` [T, 3D]; see [`Kernels::attend`].
    fn pack_head(&self, shape: HeadShape, head: usize, qkv: &[f32], keys: &mut [f32], values: &mut [f32]);

    /// out[rows, hd] = softmax(q·kᵀ)·v for the `rows` queries from `first` on. `scores` is scratch of
    /// [`HeadShape::scores_len`]. `probabilities` gets the T probabilities of the query `first`.
    fn attend(
        &self,
        shape: HeadShape,
        head: usize,
        first: usize,
        qkv: &[f32],
        keys: &[f32],
        values: &[f32],
        scores: &mut [f32],
        out: &mut [f32],
        probabilities: Option<&mut [f32]>,
    );
}

/// Shape of the attention: T tokens of width D, heads of width hd.
#[derive(Clone, Copy, Debug)]
pub struct HeadShape {
    /// T
    pub tokens: usize,
    /// D
    pub width: usize,
    /// hd
    pub head_dim: usize,
}

impl HeadShape {
    /// Length of the packed keys of one head.
    pub fn keys_len(&self) -> usize {
        self.tokens.div_ceil(16) * 16 * self.head_dim
    }

    /// Length of the packed values of one head.
    pub fn values_len(&self) -> usize {
        self.head_dim.div_ceil(16) * 16 * self.tokens
    }

    /// Length of the scores' scratch.
    pub fn scores_len(&self) -> usize {
        6 * self.tokens.div_ceil(16) * 16
    }
}

#[inline(always)]
fn attend_all<I: Instructions>(
    shape: HeadShape,
    head: usize,
    first: usize,
    qkv: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
    mut probabilities: Option<&mut [f32]>,
) {
    let HeadShape { tokens, width, head_dim } = shape;
    let ldq = 3 * width;
    for (strip, out) in out.chunks_mut(I::MR * head_dim).enumerate() {
        let queries = &qkv[(first + strip * I::MR) * ldq + head * head_dim..];
        let rows = out.len() / head_dim;
        attention::attend::<I>(rows, tokens, head_dim, queries, ldq, keys, values, scores, out, probabilities.take());
    }
}

#[inline(always)]
fn layer_norm_all<I: Instructions>(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32]) {
    let d = gamma.len();
    for (x, out) in x.chunks_exact(d).zip(out.chunks_exact_mut(d)) {
        rows::layer_norm::<I::V>(x, gamma, beta, eps, out);
    }
}

#[inline(always)]
fn quantise_all<I: Instructions>(x: &[f32], k: usize, q: &mut [u8], ldq: usize, scales: &mut [f32]) {
    for ((x, q), s) in x.chunks_exact(k).zip(q.chunks_exact_mut(ldq)).zip(scales) {
        *s = rows::quantise::<I::V>(x, q);
    }
}

#[inline(always)]
fn swiglu_all<I: Instructions>(x: &mut [f32], width: usize) {
    for row in x.chunks_exact_mut(width) {
        rows::swiglu::<I::V>(row);
    }
}

/// A set of kernels: each method is the generic code compiled with the set's features.
macro_rules! kernel_set {
    ($name:ident, $isa:expr, $instructions:ty, [$($feature:literal),*]) => {
        #[derive(Debug)]
        struct $name(());

        impl $name {
            fn new() -> Option<Self> {
                $isa.is_available().then_some(Self(()))
            }
        }

        impl Kernels for $name {
            fn isa(&self) -> Isa {
                $isa
            }
            fn linear_i8(&self, rows: usize, a: &[u8], scales: &[f32], w: &PackedI8, out: &mut [f32], ldo: usize, e: Epilogue) {
                $(#[target_feature(enable = $feature)])*
                fn inner(rows: usize, a: &[u8], scales: &[f32], w: &PackedI8, out: &mut [f32], ldo: usize, e: Epilogue) {
                    gemm::linear_i8::<$instructions>(rows, a, scales, w, out, ldo, e);
                }
                // SAFETY: `new` proved that the CPU has the features.
                #[allow(unused_unsafe)]
                unsafe { inner(rows, a, scales, w, out, ldo, e) }
            }
            fn linear_f32(&self, rows: usize, a: &[f32], lda: usize, w: &PackedF32, out: &mut [f32], ldo: usize, e: Epilogue) {
                $(#[target_feature(enable = $feature)])*
                fn inner(rows: usize, a: &[f32], lda: usize, w: &PackedF32, out: &mut [f32], ldo: usize, e: Epilogue) {
                    gemm::linear_f32::<$instructions>(rows, a, lda, w, out, ldo, e);
                }
                // SAFETY: `new` proved that the CPU has the features.
                #[allow(unused_unsafe)]
                unsafe { inner(rows, a, lda, w, out, ldo, e) }
            }
            fn layer_norm(&self, x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32]) {
                $(#[target_feature(enable = $feature)])*
                fn inner(x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32]) {
                    layer_norm_all::<$instructions>(x, gamma, beta, eps, out);
                }
                // SAFETY: `new` proved that the CPU has the features.
                #[allow(unused_unsafe)]
                unsafe { inner(x, gamma, beta, eps, out) }
            }
            fn quantise(&self, x: &[f32], k: usize, q: &mut [u8], ldq: usize, scales: &mut [f32]) {
                $(#[target_feature(enable = $feature)])*
                fn inner(x: &[f32], k: usize, q: &mut [u8], ldq: usize, scales: &mut [f32]) {
                    quantise_all::<$instructions>(x, k, q, ldq, scales);
                }
                // SAFETY: `new` proved that the CPU has the features.
                #[allow(unused_unsafe)]
                unsafe { inner(x, k, q, ldq, scales) }
            }
            fn swiglu(&self, x: &mut [f32], width: usize) {
                $(#[target_feature(enable = $feature)])*
                fn inner(x: &mut [f32], width: usize) {
                    swiglu_all::<$instructions>(x, width);
                }
                // SAFETY: `new` proved that the CPU has the features.
                #[allow(unused_unsafe)]
                unsafe { inner(x, width) }
            }
            fn pack_head(&self, shape: HeadShape, head: usize, qkv: &[f32], keys: &mut [f32], values: &mut [f32]) {
                let HeadShape { tokens, width, head_dim } = shape;
                attention::pack_head(tokens, width, head_dim, head, qkv, keys, values);
            }
            fn attend(
                &self,
                shape: HeadShape,
                head: usize,
                first: usize,
                qkv: &[f32],
                keys: &[f32],
                values: &[f32],
                scores: &mut [f32],
                out: &mut [f32],
                probabilities: Option<&mut [f32]>,
            ) {
                $(#[target_feature(enable = $feature)])*
                fn inner(
                    shape: HeadShape,
                    head: usize,
                    first: usize,
                    qkv: &[f32],
                    keys: &[f32],
                    values: &[f32],
                    scores: &mut [f32],
                    out: &mut [f32],
                    probabilities: Option<&mut [f32]>,
                ) {
                    attend_all::<$instructions>(shape, head, first, qkv, keys, values, scores, out, probabilities);
                }
                // SAFETY: `new` proved that the CPU has the features.
                #[allow(unused_unsafe)]
                unsafe { inner(shape, head, first, qkv, keys, values, scores, out, probabilities) }
            }
        }
    };
}

kernel_set!(ScalarKernels, Isa::Scalar, gemm::scalar::Scalar, []);
#[cfg(target_arch = "x86_64")]
kernel_set!(Avx2Kernels, Isa::Avx2, gemm::avx2::Avx2, ["avx2", "fma"]);
#[cfg(target_arch = "x86_64")]
kernel_set!(AvxVnniKernels, Isa::AvxVnni, gemm::avx_vnni::AvxVnni, ["avx2", "fma", "avxvnni"]);
#[cfg(target_arch = "x86_64")]
kernel_set!(
    Avx512VnniKernels,
    Isa::Avx512Vnni,
    gemm::avx512_vnni::Avx512Vnni,
    ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "fma"]
);

/// The kernels of `isa`.
///
/// # Errors
/// When this CPU lacks the set.
pub fn kernels(isa: Isa) -> Result<Box<dyn Kernels>, IsaError> {
    let set: Option<Box<dyn Kernels>> = match isa {
        Isa::Scalar => ScalarKernels::new().map(|k| Box::new(k) as _),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Avx2Kernels::new().map(|k| Box::new(k) as _),
        #[cfg(target_arch = "x86_64")]
        Isa::AvxVnni => AvxVnniKernels::new().map(|k| Box::new(k) as _),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512Vnni => Avx512VnniKernels::new().map(|k| Box::new(k) as _),
        #[cfg(not(target_arch = "x86_64"))]
        _ => None,
    };
    set.ok_or_else(|| IsaError::unavailable(isa))
}
