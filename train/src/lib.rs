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
