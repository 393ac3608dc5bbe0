//! Hugging Face checkpoint folders (`Dinov2Model`, `Dinov2WithRegistersModel`), in and out.

mod config;
mod dtype;
mod folder;
mod llama;
mod names;
pub mod position;
mod probes;
mod probes_file;
mod read;
mod segmentation;
mod tensors;
mod weights;
mod write;

use std::io::Read;
use std::path::Path;

pub use config::Config;
pub use dtype::DType;
pub use folder::Checkpoint;
pub use llama::{Llama, LlamaBlock, LlamaConfig, LlamaWeights, Projector, ReportConfig, Rope};
pub use position::PositionInterpolation;
pub use probes::{ProbeHead, Probes, ProbesConfig};
pub use segmentation::{SegmentationHead, SegmentationTensor};
pub use weights::{BlockWeights, EncoderWeights, FeedForward};

use crate::error::{Error, ErrorKind, Result};

/// No JSON file of a checkpoint comes near this.
const MAX_TEXT_BYTES: u64 = 16 << 20;

/// A text file of at most [`MAX_TEXT_BYTES`].
fn read_text(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).map_err(|e| Error::io(path, e))?;
    let mut text = String::new();
    let read = file.take(MAX_TEXT_BYTES + 1).read_to_string(&mut text);
    if read.map_err(|e| Error::io(path, e))? as u64 > MAX_TEXT_BYTES {
        let message = format!("{}: longer than {} MiB", path.display(), MAX_TEXT_BYTES >> 20);
        return Err(Error::new(ErrorKind::Checkpoint, message).hint("this is not a checkpoint's JSON file"));
    }
    Ok(text)
}
