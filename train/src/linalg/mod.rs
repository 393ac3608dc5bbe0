//! The little linear algebra that probes need; sums run in fixed order at any thread count.

pub mod eigen;
pub mod lbfgs;
pub mod matrix;
pub mod standard;

pub use matrix::Matrix;
pub use standard::Standard;
