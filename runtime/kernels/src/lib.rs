//! The compute kernels of rad-dino-edge.
//!
//! Everything here means the same bits on every instruction set: integer sums are exact, every float step runs over
//! sixteen virtual lanes in one fixed order with fused multiply-adds, own polynomials for exp and erf, and IEEE division
//! and square root.

mod aligned;
mod attention;
mod decode;
mod gemm;
mod isa;
mod kernels;
mod lanes;
pub mod map;
mod math;
mod pack;
mod rows;

pub use aligned::AlignedVec;
pub use attention::{HeadShape, TokenBlock};
pub use gemm::Epilogue;
pub use isa::{Isa, IsaError};
pub use kernels::{Kernels, kernels};
pub use pack::{PackedF32, PackedI8};
