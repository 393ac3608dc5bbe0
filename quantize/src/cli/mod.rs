//! The command line.

mod convert;
#[cfg(feature = "distill")]
mod distill;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
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
    /// Teaches a small encoder a trained one's features.
    #[cfg(feature = "distill")]
    Distill(distill::Arguments),
}

/// Parses the process's arguments and runs. Exit codes: 0 done, 2 usage, 3 the checkpoint was refused or a file could
/// not be read or written, 5 a defect.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Convert(convert) => convert::run(&convert, arguments.quiet),
        #[cfg(feature = "distill")]
        Command::Distill(distill) => distill::run(distill, arguments.quiet),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &Error) -> u8 {
    match error.kind() {
        ErrorKind::Usage => 2,
        ErrorKind::Internal => 5,
        _ => 3,
    }
}
