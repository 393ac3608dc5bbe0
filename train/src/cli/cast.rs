//! `rad-dino-train cast`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rad_dino_edge::checkpoint::{Checkpoint, DType};
use rad_dino_edge::{Error, ErrorKind, Result};

use super::Tally;

/// Writes an encoder's folder (config.json, preprocessor_config.json, model.safetensors) with its weights in another
/// number format: half the bytes for a transfer. Heads and training state stay behind.
#[derive(Debug, Args)]
pub struct Cast {
    /// Checkpoint folder.
    checkpoint: PathBuf,
    /// Number format of the weights written.
    #[arg(long, value_enum)]
    dtype: Format,
    /// New folder; not the checkpoint itself.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    F32,
    F16,
    Bf16,
}

impl Cast {
    pub(super) fn run(&self) -> Result<Tally> {
        let same = std::fs::canonicalize(&self.out)
            .is_ok_and(|out| std::fs::canonicalize(&self.checkpoint).is_ok_and(|c| c == out));
        if same {
            return Err(Error::new(ErrorKind::Usage, "--out is the checkpoint itself").hint("name another folder"));
        }
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        let preprocessing = checkpoint.preprocessing().ok_or_else(|| {
            Error::new(ErrorKind::Checkpoint, format!("{}: no preprocessor_config.json", self.checkpoint.display()))
                .hint("download the folder again, whole")
        })?;
        let dtype = match self.dtype {
            Format::F32 => DType::F32,
            Format::F16 => DType::F16,
            Format::Bf16 => DType::Bf16,
        };
        checkpoint.encoder_weights()?.write(&self.out, preprocessing, dtype)?;
        Ok(Tally { done: 1, failed: 0 })
    }
}
