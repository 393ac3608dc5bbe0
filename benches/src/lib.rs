//! What the benches share.

pub mod inline;
pub mod random;
