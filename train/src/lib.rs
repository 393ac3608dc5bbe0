//! Manifests, synthetic radiographs, features, probes and evaluation for chest X-ray encoders.
#![forbid(unsafe_code)]

pub mod cli;
pub mod data;
pub mod evaluate;
pub mod features;
pub mod files;
pub mod linalg;
pub mod metrics;
pub mod probe;
pub mod random;

// Training of encoders.
#[cfg(feature = "burn")]
pub mod config_file;
#[cfg(feature = "burn")]
pub mod language;
#[cfg(feature = "burn")]
pub mod optim;
#[cfg(feature = "burn")]
pub mod pretrain;
#[cfg(feature = "burn")]
pub mod report;
#[cfg(feature = "burn")]
pub mod resume;
#[cfg(feature = "burn")]
pub mod ssl;
#[cfg(feature = "burn")]
pub mod study;
#[cfg(feature = "burn")]
pub mod supervised;
#[cfg(feature = "burn")]
pub mod vit;
