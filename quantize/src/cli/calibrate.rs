//! `rad-dino-quantize calibrate`.

use std::path::PathBuf;

use clap::Args;
use rad_dino_edge::Result;
use rad_dino_edge::scan::Limits;
use rad_dino_train::data::Split;

use super::compare::Format;
use super::{bar, count, json, print, skipped};
use crate::site::{Options, Outcome, calibrate};

/// Splits that may be fitted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FitArgument {
    Train,
    Val,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model file.
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// The site's labelled films; may be given several times.
    #[arg(long, value_name = "MANIFEST.csv", required = true)]
    data: Vec<PathBuf>,
    /// The file to write: the same weights with another manifest.
    #[arg(long, value_name = "FILE.onnx")]
    out: PathBuf,
    /// Splits that are fitted on; errors are measured on test. Leave train out where the heads were trained on it.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "train,val")]
    fit: Vec<FitArgument>,
    /// Version of the new file [default: the old one and +site].
    #[arg(long, value_name = "V")]
    model_version: Option<String>,
    /// Reliability diagrams before and after.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Threads; 0 = one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// For a person or for a program.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Returns whether every film could be read.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<bool> {
    let fit = |fit: &FitArgument| match fit {
        FitArgument::Train => Split::Train,
        FitArgument::Val => Split::Val,
    };
    let options = Options {
        data: arguments.data.clone(),
        fit: arguments.fit.iter().map(fit).collect(),
        model_version: arguments.model_version.clone(),
        plot: arguments.plot.clone(),
        threads: arguments.threads,
        limits: Limits::default(),
    };
    let bar = bar("reading", "film", quiet);
    let outcome = calibrate(&arguments.model, &arguments.out, &options, count(&bar), skipped(&bar));
    bar.finish_and_clear();
    let outcome = outcome?;
    match arguments.format {
        Format::Text => print(&text(&outcome))?,
        Format::Json => print(&json(&outcome)?)?,
    }
    Ok(outcome.failed == 0)
}

fn text(outcome: &Outcome) -> String {
    let [fitted, measured] = outcome.films;
    let mut lines =
        vec![format!("version {}, fitted on {fitted} films, measured on {measured} of split test", outcome.version)];
    let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.3}"));
    for label in &outcome.labels {
        lines.push(format!(
            "  {:32} ECE {} → {}  threshold {:.3} → {:.3}  fitted on {} ({} positive), measured on {} ({})",
            format!("{} {}", label.task, label.label),
            number(label.ece[0]),
            number(label.ece[1]),
            label.threshold[0],
            label.threshold[1],
            label.fitted[0],
            label.fitted[1],
            label.measured[0],
            label.measured[1]
        ));
    }
    if let Some([before, after]) = outcome.limit {
        let share = |i: usize| outcome.flagged.map_or_else(|| "–".to_owned(), |f| format!("{:.1} %", 100.0 * f[i]));
        lines.push(format!(
            "  out_of_distribution              limit {before:.2} → {after:.2}, flagged {} → {}",
            share(0),
            share(1)
        ));
    }
    lines.extend(outcome.notes.iter().map(|note| format!("  unchanged: {note}")));
    lines.join("\n")
}
