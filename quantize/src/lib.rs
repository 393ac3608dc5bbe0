//! From a checkpoint folder to one ONNX model file in fp32, fp16 or int8.
//!
//! [`convert`] reads the folder, resamples the position table, folds LayerScale and 1/√d into the weights, rounds
//! them and writes standard ONNX in which every block is one call of a model-local function.
#![forbid(unsafe_code)]

mod calibrate;
pub mod cli;
pub mod compare;
mod convert;
mod decoder;
#[cfg(feature = "distill")]
pub mod distill;
mod features;
mod fold;
mod fp16;
mod int8;
mod onnx;
pub mod retrieval;
mod rounded;
pub mod site;
mod smooth;

pub use calibrate::{Calibration, Cosines, LayerReport, Report};
pub use convert::{Options, Summary, calibration_path, convert, convert_with};
pub use decoder::{DecoderOptions, DecoderSummary, convert_beside, convert_decoder};
pub use fold::{Layer, Linear};
pub use int8::{QuantizedLinear, quantize};
