//! The DINOv2 vision transformer in burn, generic over the backend: forward and, under autodiff, backward.

pub mod attention;
pub mod block;
pub mod drop_path;
pub mod encoder;
pub mod gelu;
pub mod initial;
pub mod layer_scale;
pub mod linear;
pub mod mlp;
pub mod patch_embed;
pub mod position;
pub mod precision;
pub mod recompute;
pub mod rounding;
pub mod weights;

pub use drop_path::DropPath;
pub use encoder::Encoder;
pub use precision::Precision;
