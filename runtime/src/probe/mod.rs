//! From the graph's outputs to what a person reads: calibrated findings, attributes, out-of-distribution.

mod distance;
mod interpret;

pub use distance::Distance;
pub use interpret::{Attributes, FindingResult, Sex, View, attributes, findings};
