//! Heads against the truth, one source at a time.

pub mod fresh;
pub mod overlap;
pub mod predictions;
pub mod report;
pub mod scores;
pub mod text;
pub mod written;

pub use overlap::Overlaps;
pub use predictions::Predictions;
pub use report::{Floor, Report, report};
