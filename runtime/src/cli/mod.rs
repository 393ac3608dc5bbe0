//! The command line: one file a subcommand.

mod bench;
mod doctor;
mod embed;
mod generate;
mod infer;
mod info;
#[cfg(all(feature = "service", feature = "dicom"))]
mod listen;
mod model;
mod options;
mod outcome;
#[cfg(feature = "service")]
mod serve;
#[cfg(feature = "service")]
mod service;
mod verify;
#[cfg(feature = "service")]
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::ErrorKind;

pub use options::ScanLimits;
pub use outcome::{Tally, arguments, finish, json, print};

/// Chest X-ray findings, heat maps and embeddings from one model file. Research software, not a medical device.
#[derive(Debug, Parser)]
#[command(name = "rad-dino-edge", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Findings, attributes, heat maps for scans.
    Infer(infer::Infer),
    /// Feature vectors for scans.
    Embed(embed::Embed),
    /// Continues tokens with a report decoder.
    Generate(generate::Generate),
    /// What a model is, and what this machine runs it with.
    Info(info::Info),
    /// How long the model takes on this machine.
    Bench(bench::Bench),
    /// HTTP on this machine, and a page to look at films.
    #[cfg(feature = "service")]
    Serve(Box<serve::Serve>),
    /// Reads what appears in a folder.
    #[cfg(feature = "service")]
    Watch(Box<watch::Watch>),
    /// Reads what a scanner sends by DICOM.
    #[cfg(all(feature = "service", feature = "dicom"))]
    Listen(Box<listen::Listen>),
    /// Whether this machine is fit to run.
    Doctor(doctor::Doctor),
    /// Whether a file is the one that was signed.
    Verify(verify::Verify),
}

/// Runs the program on the process's arguments. Exit codes: 0 all fine, 1 some inputs failed, 2 usage, 3 model refused,
/// 4 all inputs refused, 5 internal.
pub fn main() -> ExitCode {
    let cli: Cli = match arguments() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let result = match cli.command {
        Command::Infer(infer) => infer.run(),
        Command::Embed(embed) => embed.run(),
        Command::Generate(generate) => generate.run(),
        Command::Info(info) => info.run(),
        Command::Bench(bench) => bench.run(),
        #[cfg(feature = "service")]
        Command::Serve(serve) => serve.run(),
        #[cfg(feature = "service")]
        Command::Watch(watch) => watch.run(),
        #[cfg(all(feature = "service", feature = "dicom"))]
        Command::Listen(listen) => listen.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Verify(verify) => verify.run(),
    };
    finish(result, code)
}

/// The exit code of an error that ends the whole command.
fn code(kind: ErrorKind) -> u8 {
    match kind {
        // Io: an unreadable model file, preprocessor file or output folder: nothing was answered.
        ErrorKind::Usage | ErrorKind::Io => 2,
        ErrorKind::Model | ErrorKind::Checkpoint | ErrorKind::Signature => 3,
        ErrorKind::Internal => 5,
        _ => 4,
    }
}
