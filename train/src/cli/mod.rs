//! The command line: one file a subcommand.

mod cast;
mod evaluate;
mod manifest;
mod options;
#[cfg(feature = "burn")]
mod pack;
mod phantom;
#[cfg(feature = "burn")]
mod pretrain;
mod probe;
#[cfg(feature = "burn")]
mod report;
#[cfg(feature = "burn")]
mod study;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rad_dino_edge::cli::{Tally, arguments, finish, json, print};
use rad_dino_edge::{Error, ErrorKind};

#[cfg(feature = "burn")]
pub use options::DeviceChoice;

/// Trains and measures what rad-dino-edge runs. Research software, not a medical device.
#[derive(Debug, Parser)]
#[command(name = "rad-dino-train", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a manifest.csv of a folder of PNG and JPEG files.
    Manifest(manifest::Manifest),
    /// Makes synthetic radiographs with labels, masks, attributes and reports.
    Phantom(phantom::Phantom),
    /// Fits heads on an encoder's frozen features.
    Probe(probe::Probe),
    /// Measures heads against the truth, one source at a time.
    Evaluate(evaluate::Evaluate),
    /// Writes an encoder's weights in another number format.
    Cast(cast::Cast),
    /// Packs films into one file.
    #[cfg(feature = "burn")]
    Pack(pack::Pack),
    /// Trains an encoder on radiographs without labels.
    #[cfg(feature = "burn")]
    Pretrain(pretrain::Pretrain),
    /// Trains a decoder that writes reports from a frozen encoder's patch tokens.
    #[cfg(feature = "burn")]
    Report(report::Report),
    /// Compares what an encoder learns from images, reports and labels.
    #[cfg(feature = "burn")]
    Study(study::Study),
}

/// Runs the program on the process's arguments. Exit codes: 0 all fine, 1 some films failed, 2 usage, 3 model or
/// checkpoint refused, 4 all films or the manifest refused, 5 internal.
pub fn main() -> ExitCode {
    let cli: Cli = match arguments() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let result = match cli.command {
        Command::Manifest(command) => command.run(),
        Command::Phantom(command) => command.run(),
        Command::Probe(command) => command.run(),
        Command::Evaluate(command) => command.run(),
        Command::Cast(command) => command.run(),
        #[cfg(feature = "burn")]
        Command::Pack(command) => command.run(),
        #[cfg(feature = "burn")]
        Command::Pretrain(command) => command.run(),
        #[cfg(feature = "burn")]
        Command::Report(command) => command.run(),
        #[cfg(feature = "burn")]
        Command::Study(command) => command.run(),
    };
    finish(result, code)
}

/// The exit code of an error that ends the whole command.
fn code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Usage | ErrorKind::Io => 2,
        ErrorKind::Model | ErrorKind::Checkpoint => 3,
        ErrorKind::Internal => 5,
        _ => 4,
    }
}

/// Names films that failed, on stderr.
fn complain<'a>(failed: impl IntoIterator<Item = (&'a std::path::Path, &'a Error)>) {
    for (path, error) in failed {
        let shown = path.display().to_string();
        match error.message().starts_with(&shown) {
            true => eprintln!("skipped: {error}"),
            false => eprintln!("skipped: {shown}: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn exit_codes_are_the_contract() {
        let codes = [ErrorKind::Usage, ErrorKind::Checkpoint, ErrorKind::Data, ErrorKind::Internal].map(code);
        assert_eq!(codes, [2, 3, 4, 5]);
    }
}
