//! From a scan to `pixel_values`, exactly as Pillow and the Hugging Face `BitImageProcessor` do it.

mod bicubic;
mod coefficients;
mod config;
mod crop;
mod geometry;
mod hugging_face;
mod normalize;

pub use config::Preprocessing;
pub use crop::resize_and_crop;
pub use geometry::Geometry;
pub use normalize::preprocess;

pub(crate) use bicubic::{Window, resize};
