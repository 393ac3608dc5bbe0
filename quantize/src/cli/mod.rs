//! The command line.

mod calibrate;
mod compare;
mod convert;
mod decoder;
#[cfg(feature = "distill")]
mod distill;
mod retrieval;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rad_dino_edge::cli::{Tally, arguments, finish, json, print};
use rad_dino_edge::{Error, ErrorKind};

/// Turns a checkpoint folder into a model file for rad-dino-edge.
#[derive(Debug, Parser)]
#[command(name = "rad-dino-quantize", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// No progress on stderr.
    #[arg(long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes a checkpoint folder (Hugging Face layout) as one ONNX file.
    Convert(convert::Arguments),
    /// Compares two model files: tokens, probes, decisions, latency, size, memory.
    Compare(compare::Arguments),
    /// Fits probabilities, thresholds and the out-of-distribution limit to a site's own labelled films.
    Calibrate(calibrate::Arguments),
    /// Prints the peak memory of a model, MB; `compare` calls it.
    #[command(hide = true)]
    Memory(compare::Memory),
    /// Writes a report decoder's folder (Llama architecture, Hugging Face layout) as one ONNX file.
    Decoder(decoder::Arguments),
    /// Writes films' CLS tokens and reports as one ONNX file: a scan then gets the report of the most similar film.
    Retrieval(retrieval::Arguments),
    /// Teaches a small encoder a trained one's features.
    #[cfg(feature = "distill")]
    Distill(distill::Arguments),
}

/// Parses the process's arguments and runs. Exit codes: 0 done, 1 some films could not be read, 2 usage, 3 a checkpoint or
/// model was refused or a file could not be read or written, 4 the manifest or all films refused, 5 a defect.
pub fn main() -> ExitCode {
    let arguments: Arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let result = match arguments.command {
        Command::Convert(convert) => convert::run(&convert, arguments.quiet).map(|()| true),
        Command::Compare(compare) => compare::run(&compare, arguments.quiet),
        Command::Calibrate(calibrate) => calibrate::run(&calibrate, arguments.quiet),
        Command::Memory(memory) => compare::memory(&memory).map(|()| true),
        Command::Decoder(decoder) => decoder::run(&decoder, arguments.quiet).map(|()| true),
        Command::Retrieval(retrieval) => retrieval::run(&retrieval, arguments.quiet),
        #[cfg(feature = "distill")]
        Command::Distill(distill) => distill::run(distill, arguments.quiet).map(|()| true),
    };
    let tally = |whole: bool| Tally { done: 1, failed: usize::from(!whole) };
    finish(result.map(tally), code)
}

fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage => 2,
        ErrorKind::Internal => 5,
        ErrorKind::Data => 4,
        _ => 3,
    }
}

/// Sets `bar` to so many films done of all.
fn count(bar: &ProgressBar) -> impl FnMut(usize, usize) {
    |done, all| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    }
}

/// Says which film is left out and why, above `bar`.
fn skipped(bar: &ProgressBar) -> impl FnMut(&Path, &Error) {
    |path, error| bar.suspend(|| eprintln!("skipped: {}: {error}", path.display()))
}

/// A bar over `unit`s on stderr; hidden when `quiet` or where stderr is no terminal.
fn bar(message: &'static str, unit: &str, quiet: bool) -> ProgressBar {
    let visible = !quiet && std::io::stderr().is_terminal();
    let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) = ProgressStyle::with_template(&format!("{{msg}} {{bar:30}} {unit} {{pos}} of {{len}}")) {
        bar.set_style(style);
    }
    bar.set_message(message);
    bar
}
