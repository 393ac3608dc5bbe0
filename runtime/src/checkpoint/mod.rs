//! Hugging Face checkpoint folders (`Dinov2Model`, `Dinov2WithRegistersModel`), in and out.

mod config;
mod probes;
mod weights;

pub use config::Config;
pub use probes::{ProbeHead, Probes, ProbesConfig};
pub use weights::{BlockWeights, EncoderWeights, FeedForward};
