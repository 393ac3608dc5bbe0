//! The default model, inside the binary.

/// The bytes of models/rad-dino-small.onnx.
pub const ENCODER: &[u8] = include_bytes!("../../../models/rad-dino-small.onnx");
