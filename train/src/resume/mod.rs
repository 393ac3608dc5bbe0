//! The state of a run: networks, optimiser, centres, position. One file, written whole or not at all.

pub mod shape;
pub mod state;

pub use shape::HeadShape;
pub use state::{Position, State};
