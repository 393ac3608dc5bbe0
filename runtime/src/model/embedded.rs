//! The default model, inside the binary.

/// The bytes of models/rad-dino-small.onnx.
pub const ENCODER: &[u8] = include_bytes!("../../../models/rad-dino-small.onnx");

/// The bytes of models/rad-dino-small.report.onnx.
pub const DECODER: &[u8] = include_bytes!("../../../models/rad-dino-small.report.onnx");
