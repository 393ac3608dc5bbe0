//! `rad-dino-quantize compare` and the hidden `memory` that it calls for each model.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::Split;

use super::{bar, count, json, print, skipped};
use crate::compare::{Options, compare, text};

/// Splits of a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SplitArgument {
    Train,
    Val,
    Test,
}

impl From<SplitArgument> for Split {
    fn from(split: SplitArgument) -> Self {
        match split {
            SplitArgument::Train => Split::Train,
            SplitArgument::Val => Split::Val,
            SplitArgument::Test => Split::Test,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person.
    Text,
    /// For a program: one object.
    Json,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The model that is right by definition.
    #[arg(value_name = "REFERENCE.onnx")]
    reference: PathBuf,
    /// The model that is compared with it.
    #[arg(value_name = "CANDIDATE.onnx")]
    candidate: PathBuf,
    /// Films; may be given several times.
    #[arg(long, value_name = "MANIFEST.csv", required = true)]
    data: Vec<PathBuf>,
    /// Which films are measured.
    #[arg(long, value_enum, default_value = "test")]
    split: SplitArgument,
    /// At most so many films, evenly spaced [default: all].
    #[arg(long, value_name = "N")]
    films: Option<usize>,
    /// Rounds of the timing, the models in turns.
    #[arg(long, value_name = "N", default_value_t = 20)]
    rounds: usize,
    /// Threads of each model; 0 = one per core.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// For a person or for a program.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Returns whether every film could be read.
pub(super) fn run(arguments: &Arguments, quiet: bool) -> Result<bool> {
    let options = Options {
        data: arguments.data.clone(),
        split: arguments.split.into(),
        films: arguments.films,
        rounds: arguments.rounds.max(1),
        threads: arguments.threads,
        limits: Limits::default(),
    };
    let bar = bar("comparing", "film", quiet);
    let threads = arguments.threads;
    let found = compare(
        &arguments.reference,
        &arguments.candidate,
        &options,
        |model| memory_of(model, threads),
        count(&bar),
        skipped(&bar),
    );
    bar.finish_and_clear();
    let found = found?;
    match arguments.format {
        Format::Text => print(&text(&found))?,
        Format::Json => print(&json(&found)?)?,
    }
    Ok(found.failed == 0)
}

/// Runs the model alone in a process of its own; None where that or /proc does not work.
fn memory_of(model: &Path, threads: usize) -> Option<f64> {
    let program = std::env::current_exe().ok()?;
    let output =
        Command::new(program).arg("memory").arg(model).arg("--threads").arg(threads.to_string()).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).ok()?.trim().parse().ok()).flatten()
}

#[derive(Debug, Args)]
pub(super) struct Memory {
    /// The model file.
    model: PathBuf,
    /// Threads; 0 = one per core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
}

/// Prints the peak memory, MB, of loading a model and running one image.
pub(super) fn memory(arguments: &Memory) -> Result<()> {
    let engine = Engine::from_file(&arguments.model, arguments.threads)?;
    let side = engine.shape().image_size;
    engine.run(&vec![0.0; 3 * side * side], 1)?;
    let status =
        std::fs::read_to_string("/proc/self/status").map_err(|e| Error::io(Path::new("/proc/self/status"), e))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: Option<f64> = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok());
    let kilobytes = kilobytes.ok_or_else(|| Error::new(ErrorKind::Io, "the system does not tell a peak of memory"))?;
    print(&format!("{:.1}", kilobytes * 1.024 / 1e3))
}
