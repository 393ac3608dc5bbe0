//! Films and what is known about them.

pub mod dataset;
pub mod folder;
pub mod manifest;
pub mod phantom;
pub mod row;

pub use dataset::{Dataset, Film};
pub use manifest::{Manifest, NO_FINDING};
pub use row::{Row, Sex, Split, View};
