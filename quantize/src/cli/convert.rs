//! `rad-dino-quantize convert`.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rad_dino_edge::Result;
use rad_dino_edge::checkpoint::PositionInterpolation;
use rad_dino_edge::model::manifest::Precision;

use crate::{Options, convert_beside, convert_with};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The checkpoint folder: config.json, preprocessor_config.json, model.safetensors, optionally probes.
    checkpoint: PathBuf,
    /// Number format of the weights.
    #[arg(long, value_enum)]
    precision: PrecisionArgument,
    /// Input side in pixels, a multiple of the patch side [default: the preprocessor's crop].
    #[arg(long, value_name = "S")]
    image_size: Option<usize>,
    /// The file to write.
    #[arg(long, value_name = "FILE.onnx")]
    out: PathBuf,
    /// Name of the model [default: the folder's name].
    #[arg(long)]
    name: Option<String>,
    /// Version of the model.
    #[arg(long, value_name = "V", default_value = "1")]
    model_version: String,
    /// How the position table is resampled to another image size: as transformers 5, or by the older factor.
    #[arg(long, value_enum, default_value = "size")]
    position: PositionArgument,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PrecisionArgument {
    Fp32,
    Fp16,
    Int8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PositionArgument {
    Size,
    Offset,
}

pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<()> {
    let options = Options {
        precision: match arguments.precision {
            PrecisionArgument::Fp32 => Precision::Fp32,
            PrecisionArgument::Fp16 => Precision::Fp16,
            PrecisionArgument::Int8 => Precision::Int8,
        },
        image_size: arguments.image_size,
        out: arguments.out.clone(),
        name: arguments.name.clone(),
        model_version: Some(arguments.model_version.clone()),
        position: match arguments.position {
            PositionArgument::Size => PositionInterpolation::Size,
            PositionArgument::Offset => PositionInterpolation::Offset,
        },
    };
    let visible = !quiet && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} block {pos} of {len}") {
        bar.set_style(style);
    }
    bar.set_message("converting");
    let result = convert_with(&arguments.checkpoint, &options, |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let summary = result?;
    if !quiet {
        let shape = &summary.manifest.architecture;
        eprintln!(
            "{}: {} {}, {} px, {:.1} MB, outputs {}",
            arguments.out.display(),
            summary.manifest.name,
            summary.manifest.precision.as_str(),
            shape.image_size,
            summary.bytes as f64 / 1e6,
            summary.outputs.join(", ")
        );
    }
    let report = convert_beside(&arguments.checkpoint, &options.out, options.precision)?;
    if let Some(report) = report.filter(|_| !quiet) {
        let (name, precision) = (&report.manifest.name, report.manifest.precision.as_str());
        eprintln!("and its report decoder {name} {precision}, {:.1} MB, beside it", report.bytes as f64 / 1e6);
    }
    Ok(())
}
