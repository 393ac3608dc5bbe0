//! What train, quantize and the edge binary share: scans, preprocessing, model files, the engine, outputs.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

#[cfg(feature = "checkpoint")]
pub mod checkpoint;
#[cfg(feature = "engine")]
pub mod cli;
#[cfg(feature = "engine")]
pub mod doctor;
#[cfg(feature = "engine")]
pub mod engine;
pub mod error;
pub mod model;
pub mod output;
pub mod preprocess;
pub mod probe;
#[cfg(feature = "engine")]
pub mod reader;
pub mod report;
pub mod scan;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "engine")]
pub mod signature;

pub use error::{Error, ErrorKind, Result};
