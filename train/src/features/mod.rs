//! Films in, feature vectors out: computed once and kept.

pub mod cache;
pub mod engine;
pub mod extract;
pub mod film;
pub mod pixels;
pub mod posed;
pub mod random;
mod source;

pub use engine::Encoder;
pub use extract::{Extracted, extract};
pub use pixels::Pixels;
pub use posed::Posed;
pub use source::FeatureSource;
