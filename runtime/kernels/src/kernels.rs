//! The set of kernels chosen once at start. Constructing one proves that the CPU has it.

use crate::attention::{self, HeadShape, TokenBlock};
use crate::decode;
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

    /// Quantises the first K values of each row of `x` (row stride `ldx`) into `q` [rows, ldq] and its scale into `scales`.
    fn quantise(&self, x: &[f32], ldx: usize, k: usize, q: &mut [u8], ldq: usize, scales: &mut [f32]);

    /// row[..F] ← silu(row[..F])·row[F..] for each row of `x` [rows, 2F].
    fn swiglu(&self, x: &mut [f32], width: usize);

    /// x ← (x − mean)·factor for the first values of each row of `x` [rows, width], as many as `mean` and `factor` have.
    fn level(&self, x: &mut [f32], width: usize, mean: &[f32], factor: &[f32]);

    /// Packs the keys and values of one head of `qkv` [T, 3D] for [`Kernels::attend`].
    fn pack_head(&self, shape: HeadShape, head: usize, qkv: &[f32], keys: &mut [f32], values: &mut [f32]);

    /// out[r][..hd] = softmax(q·kᵀ)·v for the `count` queries from `first` on; `out` has row stride `ldo`. `scores` is
    /// scratch of [`HeadShape::scores_len`]. `probabilities` gets the T probabilities of the query `first`.
    fn attend(
        &self,
        shape: HeadShape,
        head: usize,
        first: usize,
        count: usize,
        qkv: &[f32],
        keys: &[f32],
        values: &[f32],
        scores: &mut [f32],
        out: &mut [f32],
        ldo: usize,
        probabilities: Option<&mut [f32]>,
    );

    /// Quantises the rows `qkv` [1 to 64, 3D] for [`Kernels::attend_i8`].
    fn pack_tokens(&self, shape: HeadShape, qkv: &[f32], block: &mut TokenBlock);

    /// The int8 twin of [`Kernels::attend`] for `count` queries of the block `queries` from `first` on. `blocks` holds all
    /// T tokens; `sums` is scratch of [`HeadShape::sums_len`].
    fn attend_i8(
        &self,
        shape: HeadShape,
        head: usize,
        queries: &TokenBlock,
        first: usize,
        count: usize,
        blocks: &[TokenBlock],
        sums: &mut [f32],
        out: &mut [f32],
        ldo: usize,
        probabilities: Option<&mut [f32]>,
    );

    /// out = x/√(mean x² + eps)·gamma for each row of `x` [rows, D].
    fn rms_norm(&self, x: &[f32], gamma: &[f32], eps: f32, out: &mut [f32]);

    /// out [hd] = softmax(q·kᵀ)·v of one query q [hd], which carries 1/√hd, over `keys` and `values` [S, hd]; `scores` is
    /// scratch of S rounded up to a multiple of 16.
    fn attend_cached(&self, q: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], out: &mut [f32]);
}

#[inline(always)]
fn attend_all<I: Instructions>(
    shape: HeadShape,
    head: usize,
    first: usize,
    count: usize,
    qkv: &[f32],
    keys: &[f32],
    values: &[f32],
    scores: &mut [f32],
    out: &mut [f32],
    ldo: usize,
    mut probabilities: Option<&mut [f32]>,
) {
    let HeadShape { tokens, width, head_dim } = shape;
    let ldq = 3 * width;
    for start in (0..count).step_by(I::MR_F32) {
        let queries = &qkv[(first + start) * ldq + head * head_dim..];
        let rows = (count - start).min(I::MR_F32);
        let out = &mut out[start * ldo..];
        let p = probabilities.take();
        attention::float::attend::<I>(rows, tokens, head_dim, queries, ldq, keys, values, scores, out, ldo, p);
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
fn quantise_all<I: Instructions>(x: &[f32], ldx: usize, k: usize, q: &mut [u8], ldq: usize, scales: &mut [f32]) {
    for ((x, q), scales) in x.chunks(16 * ldx).zip(q.chunks_mut(16 * ldq)).zip(scales.chunks_mut(16)) {
        let (inverse, all) = rows::int8_scales::<I::V>(x.chunks(ldx).map(|x| &x[..k]));
        scales.copy_from_slice(&all[..scales.len()]);
        for ((x, q), inverse) in x.chunks(ldx).zip(q.chunks_exact_mut(ldq)).zip(inverse) {
            rows::quantise::<I::V>(&x[..k], inverse, q);
        }
    }
}

#[inline(always)]
fn swiglu_all<I: Instructions>(x: &mut [f32], width: usize) {
    for row in x.chunks_exact_mut(width) {
        rows::swiglu::<I::V>(row);
    }
}

#[inline(always)]
fn level_all<I: Instructions>(x: &mut [f32], width: usize, mean: &[f32], factor: &[f32]) {
    for row in x.chunks_exact_mut(width) {
        rows::level::<I::V>(&mut row[..mean.len()], mean, factor);
    }
}

/// A method of a set: `$generic` compiled with the set's features.
macro_rules! compiled {
    ([$($feature:literal),*], $generic:expr, $name:ident($($arg:ident: $t:ty),* $(,)?)) => {
        fn $name(&self, $($arg: $t),*) {
            $(#[target_feature(enable = $feature)])*
            fn inner($($arg: $t),*) {
                $generic($($arg),*);
            }
            // SAFETY: `new` proved that the CPU has the features.
            #[allow(unused_unsafe)]
            unsafe { inner($($arg),*) }
        }
    };
}

/// A set of kernels: each method is the generic code compiled with the set's features.
macro_rules! kernel_set {
    ($name:ident, $isa:expr, $i:ty, $features:tt) => {
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
            compiled!($features, gemm::linear_i8::<$i>, linear_i8(
                rows: usize, a: &[u8], scales: &[f32], w: &PackedI8, out: &mut [f32], ldo: usize, e: Epilogue,
            ));
            compiled!($features, gemm::linear_f32::<$i>, linear_f32(
                rows: usize, a: &[f32], lda: usize, w: &PackedF32, out: &mut [f32], ldo: usize, e: Epilogue,
            ));
            compiled!($features, layer_norm_all::<$i>, layer_norm(
                x: &[f32], gamma: &[f32], beta: &[f32], eps: f32, out: &mut [f32],
            ));
            compiled!($features, quantise_all::<$i>, quantise(
                x: &[f32], ldx: usize, k: usize, q: &mut [u8], ldq: usize, scales: &mut [f32],
            ));
            compiled!($features, swiglu_all::<$i>, swiglu(x: &mut [f32], width: usize));
            compiled!($features, level_all::<$i>, level(x: &mut [f32], width: usize, mean: &[f32], factor: &[f32]));
            compiled!($features, attention::float::pack_head, pack_head(
                shape: HeadShape, head: usize, qkv: &[f32], keys: &mut [f32], values: &mut [f32],
            ));
            compiled!($features, attend_all::<$i>, attend(
                shape: HeadShape, head: usize, first: usize, count: usize, qkv: &[f32], keys: &[f32], values: &[f32],
                scores: &mut [f32], out: &mut [f32], ldo: usize, probabilities: Option<&mut [f32]>,
            ));
            compiled!($features, attention::tokens::pack::<$i>, pack_tokens(
                shape: HeadShape, qkv: &[f32], block: &mut TokenBlock,
            ));
            compiled!($features, attention::int8::attend::<$i>, attend_i8(
                shape: HeadShape, head: usize, queries: &TokenBlock, first: usize, count: usize, blocks: &[TokenBlock],
                sums: &mut [f32], out: &mut [f32], ldo: usize, probabilities: Option<&mut [f32]>,
            ));
            compiled!($features, decode::rms_norm::<$i>, rms_norm(
                x: &[f32], gamma: &[f32], eps: f32, out: &mut [f32],
            ));
            compiled!($features, decode::attend_cached::<$i>, attend_cached(
                q: &[f32], keys: &[f32], values: &[f32], scores: &mut [f32], out: &mut [f32],
            ));
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

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
kernel_set!(
    AmxInt8Kernels,
    Isa::AmxInt8,
    gemm::amx_int8::AmxInt8,
    ["avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512vnni", "fma"]
);

#[cfg(target_arch = "aarch64")]
kernel_set!(NeonKernels, Isa::Neon, gemm::neon::Neon, ["neon"]);
#[cfg(target_arch = "aarch64")]
kernel_set!(NeonDotprodKernels, Isa::NeonDotprod, gemm::neon_dotprod::NeonDotprod, ["neon", "dotprod"]);
#[cfg(target_arch = "aarch64")]
kernel_set!(NeonI8mmKernels, Isa::NeonI8mm, gemm::neon_i8mm::NeonI8mm, ["neon", "dotprod", "i8mm"]);

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
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::AmxInt8 => AmxInt8Kernels::new().map(|k| Box::new(k) as _),
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => NeonKernels::new().map(|k| Box::new(k) as _),
        #[cfg(target_arch = "aarch64")]
        Isa::NeonDotprod => NeonDotprodKernels::new().map(|k| Box::new(k) as _),
        #[cfg(target_arch = "aarch64")]
        Isa::NeonI8mm => NeonI8mmKernels::new().map(|k| Box::new(k) as _),
        _ => None,
    };
    set.ok_or_else(|| IsaError::unavailable(isa))
}
