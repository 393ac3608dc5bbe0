//! The ONNX file: the encoder's graph, its model-local functions, and how they are written.

mod attribute;
mod builder;
mod decoder;
mod decoder_block;
mod embedding;
mod encoder;
mod function;
mod linear;
mod probes;
mod retrieval;
mod segmentation;
mod tensor;
mod write;

pub(crate) use builder::Builder;
pub(crate) use decoder::write_decoder;
pub(crate) use retrieval::write_retrieval;
pub(crate) use write::write;

/// Domain of the model-local functions.
pub(crate) const DOMAIN: &str = "rad_dino";
/// Version of the standard operators that the graph and the functions use.
pub(crate) const OPSET: i64 = 17;
