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
#[cfg(feature = "service")]
mod serve;
#[cfg(feature = "service")]
mod service;
mod verify;
#[cfg(feature = "service")]
mod watch;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, ErrorKind, Result};

pub use options::ScanLimits;

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

/// How a command over many inputs ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Inputs answered.
    pub done: usize,
    /// Inputs refused.
    pub failed: usize,
}

impl Tally {
    /// 0 all fine, 1 some failed, 4 all failed.
    fn code(self) -> u8 {
        match (self.done, self.failed) {
            (_, 0) => 0,
            (0, _) => 4,
            _ => 1,
        }
    }
}

/// Runs the program on the process's arguments. Exit codes: 0 all fine, 1 some inputs failed, 2 usage, 3 model refused,
/// 4 all inputs refused, 5 internal.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and version to stdout, errors to stderr; a closed pipe is no reason to fail.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let result = match cli.command {
        Command::Infer(infer) => infer.run(),
        Command::Embed(embed) => embed.run(),
        Command::Generate(generate) => generate.run(),
        Command::Info(info) => info.run(),
        Command::Bench(bench) => bench.run(),
        #[cfg(feature = "service")]
        Command::Serve(serve) => serve.run(),
        Command::Watch(watch) => watch.run(),
        #[cfg(all(feature = "service", feature = "dicom"))]
        Command::Listen(listen) => listen.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Verify(verify) => verify.run(),
    };
    match result {
        Ok(tally) => ExitCode::from(tally.code()),
        Err(error) => {
            eprintln!("error: {}", error.message());
            if let Some(hint) = error.remedy() {
                eprintln!("\nhint: {hint}");
            }
            ExitCode::from(code(&error))
        }
    }
}

/// The exit code of an error that ends the whole command.
fn code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Usage => 2,
        ErrorKind::Model | ErrorKind::Checkpoint | ErrorKind::Signature => 3,
        ErrorKind::Internal => 5,
        // An unreadable model file, preprocessor file or output folder: nothing was answered.
        ErrorKind::Io => 2,
        _ => 4,
    }
}

/// Prints a line of data; a closed pipe ends the program quietly.
fn print(line: &str) -> Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Error::new(ErrorKind::Io, format!("stdout: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// A value as one line of JSON.
fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::new(ErrorKind::Internal, "JSON").source(e))
}
