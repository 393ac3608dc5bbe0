//! The model file: its manifest, its structure, the embedded default.

#[cfg(feature = "embedded-model")]
pub mod embedded;
pub mod manifest;
pub mod onnx;
mod segmentation;
mod wire;

pub use manifest::Manifest;
pub use segmentation::SegmentationSizes;
