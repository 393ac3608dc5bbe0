//! From a scan to `pixel_values`, exactly as Pillow and the Hugging Face `BitImageProcessor` do it.

mod bicubic;
mod coefficients;
mod config;
mod crop;
mod geometry;
mod hugging_face;
mod normalize;

pub use config::{MAX_SIDE, Preprocessing};
pub use crop::{crop_at, resize_and_crop};
pub use geometry::{Geometry, MOST_WINDOWS};
pub use normalize::{preprocess, preprocess_at};

pub(crate) use bicubic::{Window, resize};
