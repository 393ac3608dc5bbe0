//! Training with labels: fine-tuning for `probe --finetune`, and the supervised rival of `study`.

pub mod batch;
pub mod classifier;
pub mod config;
pub mod truth;
pub mod tune;

pub use config::Config;
pub use truth::Truth;
pub use tune::tune;
