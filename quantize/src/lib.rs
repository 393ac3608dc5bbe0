//! From a checkpoint folder to one ONNX model file in fp32, fp16 or int8.
//!
//! [`convert`] reads the folder, resamples the position table, folds LayerScale and 1/√d into the weights, rounds
//! them and writes standard ONNX in which every block is one call of a model-local function.
#![forbid(unsafe_code)]

pub mod cli;
mod convert;
#[cfg(feature = "distill")]
pub mod distill;
mod fold;
mod fp16;
mod int8;
mod onnx;

pub use convert::{Options, Summary, convert, convert_with};
pub use fold::Linear;
pub use int8::{QuantizedLinear, quantize};
