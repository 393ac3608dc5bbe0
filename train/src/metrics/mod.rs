//! Metrics of predictions, with patient-level intervals.

pub mod auprc;
pub mod auroc;
pub mod bootstrap;
pub mod calibration;
pub mod mae;
mod ranking;

pub use auprc::auprc;
pub use auroc::auroc;
pub use mae::mae;
pub use ranking::Ranking;
