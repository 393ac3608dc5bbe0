//! Metrics of predictions, with patient-level intervals.

pub mod auprc;
pub mod auroc;
pub mod bleu;
pub mod bootstrap;
pub mod calibration;
pub mod f1;
pub mod mae;
mod ranking;
pub mod rouge;
pub mod words;

pub use auprc::auprc;
pub use auroc::auroc;
pub use mae::mae;
pub use ranking::Ranking;
