//! What leaves the runtime: files written whole or not at all, arrays, heat maps and masks.

#[cfg(all(feature = "dicom", feature = "engine"))]
pub mod dicom;
pub mod heatmap;
#[cfg(feature = "engine")]
pub mod json;
pub mod mask;
pub mod npy;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod safetensors;
mod sample;
#[cfg(feature = "engine")]
pub mod text;
pub mod write;
