//! `rad-dino-quantize convert`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rad_dino_edge::Result;
use rad_dino_edge::checkpoint::PositionInterpolation;
use rad_dino_edge::model::manifest::Precision;

use super::{bar, count};
use crate::{Calibration, Options, calibration_path, convert_beside, convert_with};

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
    /// Calibrates int8 on films of this manifest (split val, train where there is none); may be given several times.
    #[arg(long, value_name = "MANIFEST.csv")]
    calibration: Vec<PathBuf>,
    /// Most films that calibrate.
    #[arg(long, value_name = "N", default_value_t = Calibration::FILMS, requires = "calibration")]
    calibration_films: usize,
    /// Largest share of the blocks' weights that may stay f16 where int8 would miss the promised cosines.
    #[arg(long, value_name = "SHARE", default_value_t = Calibration::FALLBACK_BUDGET, requires = "calibration")]
    fallback_budget: f64,
    /// CLS cosine with fp32 that the calibration films have to reach before layers stop to stay f16.
    #[arg(long, value_name = "COSINE", default_value_t = Calibration::TARGET_COSINE, requires = "calibration")]
    target_cosine: f64,
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
        calibration: (!arguments.calibration.is_empty()).then(|| Calibration {
            data: arguments.calibration.clone(),
            films: arguments.calibration_films,
            fallback_budget: arguments.fallback_budget,
            target_cosine: arguments.target_cosine,
        }),
    };
    let bar = bar("converting", "step", quiet);
    let result = convert_with(&arguments.checkpoint, &options, count(&bar));
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
        if let Some(report) = &summary.calibration {
            eprintln!("{}\n{}", report.table(), calibration_path(&arguments.out).display());
        }
    }
    let report = convert_beside(&arguments.checkpoint, &options.out, options.precision)?;
    if let Some(report) = report.filter(|_| !quiet) {
        let (name, precision) = (&report.manifest.name, report.manifest.precision.as_str());
        eprintln!("and its report decoder {name} {precision}, {:.1} MB, beside it", report.bytes as f64 / 1e6);
    }
    Ok(())
}
