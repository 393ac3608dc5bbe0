//! Films and what is known about them.

#[cfg(feature = "burn")]
pub mod augment;
pub mod dataset;
pub mod folder;
#[cfg(feature = "burn")]
pub mod loader;
pub mod manifest;
pub mod mask;
#[cfg(feature = "burn")]
pub mod pack;
pub mod phantom;
pub mod pose;
pub mod row;

pub use dataset::{Dataset, Film};
pub use manifest::{Manifest, NO_FINDING};
pub use mask::Mask;
pub use row::{Row, Sex, Split, View};
