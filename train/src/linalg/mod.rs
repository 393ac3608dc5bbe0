//! The little linear algebra that probes need; sums run in fixed order at any thread count.

pub mod eigen;
pub mod lbfgs;
pub mod matrix;

pub use matrix::Matrix;
