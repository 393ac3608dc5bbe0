//! `rad-dino-quantize decoder`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rad_dino_edge::Result;
use rad_dino_edge::model::manifest::Precision;

use crate::{DecoderOptions, convert_decoder};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The decoder's folder: config.json, model.safetensors (or shards), optionally tokenizer.json, and of
    /// rad-dino-train report projector.safetensors and report.json.
    folder: PathBuf,
    /// Number format of the weights.
    #[arg(long, value_enum)]
    precision: PrecisionArgument,
    /// The file to write.
    #[arg(long, value_name = "FILE.onnx")]
    out: PathBuf,
    /// Name of the decoder [default: the folder's name].
    #[arg(long)]
    name: Option<String>,
    /// Version of the decoder.
    #[arg(long, value_name = "V", default_value = "1")]
    model_version: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PrecisionArgument {
    Fp32,
    Int8,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<()> {
    let options = DecoderOptions {
        precision: match arguments.precision {
            PrecisionArgument::Fp32 => Precision::Fp32,
            PrecisionArgument::Int8 => Precision::Int8,
        },
        out: arguments.out.clone(),
        name: arguments.name.clone(),
        model_version: arguments.model_version.clone(),
    };
    let summary = convert_decoder(&arguments.folder, &options)?;
    if !quiet {
        let shape = &summary.manifest.architecture;
        eprintln!(
            "{}: {} {}, {} blocks of width {}, {} tokens, {:.1} MB",
            arguments.out.display(),
            summary.manifest.name,
            summary.manifest.precision.as_str(),
            shape.depth,
            shape.hidden_size,
            shape.vocab_size,
            summary.bytes as f64 / 1e6,
        );
    }
    Ok(())
}
