//! `rad-dino-quantize retrieval`.

use std::path::PathBuf;

use clap::Args;
use rad_dino_edge::Result;
use rad_dino_train::report::Cleaning;

use super::{bar, count, skipped};
use crate::retrieval::{Options, retrieval};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model file that will read the scans.
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Films with reports; those of split train are kept. May be given several times.
    #[arg(long, value_name = "MANIFEST.csv", required = true)]
    data: Vec<PathBuf>,
    /// The file to write. It holds the reports' text: make sure that it may leave the house.
    #[arg(long, value_name = "FILE.onnx")]
    out: PathBuf,
    /// Films that have findings and no report get one composed from their labels.
    #[arg(long)]
    compose: bool,
    /// Keep the reports as they are: no sentence and no mark is taken out.
    #[arg(long)]
    no_cleaning: bool,
    /// Name of the collection [default: the file's stem].
    #[arg(long)]
    name: Option<String>,
    /// Version of the collection.
    #[arg(long, value_name = "V", default_value = "1")]
    model_version: String,
    /// Licence of the reports, kept in the file.
    #[arg(long, value_name = "TEXT", default_value = "")]
    licence: String,
    /// Threads; 0 = one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// Returns whether every film could be read.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<bool> {
    let options = Options {
        data: arguments.data.clone(),
        cleaning: if arguments.no_cleaning { Cleaning::NONE } else { Cleaning::default() },
        compose: arguments.compose,
        name: arguments.name.clone(),
        version: arguments.model_version.clone(),
        licence: arguments.licence.clone(),
        threads: arguments.threads,
    };
    let bar = bar("reading", "film", quiet);
    let summary = retrieval(&arguments.model, &arguments.out, &options, count(&bar), skipped(&bar));
    bar.finish_and_clear();
    let summary = summary?;
    if !quiet {
        eprintln!(
            "{}: the reports of {} films, {:.1} MB; taken out of them: {} marks, {} view and {} comparison sentences",
            arguments.out.display(),
            summary.films,
            summary.bytes as f64 / 1e6,
            summary.removed.marks,
            summary.removed.views.values().sum::<usize>(),
            summary.removed.comparisons.values().sum::<usize>(),
        );
    }
    Ok(summary.failed == 0)
}
