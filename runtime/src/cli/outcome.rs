//! How a program of this house begins and ends: arguments, exit codes, what goes to stdout and stderr.

use std::process::ExitCode;

use clap::Parser;

use crate::error::{Error, ErrorKind, Result};

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
    pub fn code(self) -> u8 {
        match (self.done, self.failed) {
            (_, 0) => 0,
            (0, _) => 4,
            _ => 1,
        }
    }
}

/// Parses the process's arguments.
///
/// # Errors
/// The exit code, once help, version (0) or a usage error (2) is printed.
pub fn arguments<C: Parser>() -> std::result::Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        // clap prints help and version to stdout, errors to stderr; a closed pipe is no reason to fail.
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { 2 } else { 0 })
    })
}

/// The exit code of a command; an error is told on stderr first, with its remedy. `code` is that of an error that ended
/// the whole command.
pub fn finish(result: Result<Tally>, code: impl Fn(ErrorKind) -> u8) -> ExitCode {
    match result {
        Ok(tally) => ExitCode::from(tally.code()),
        Err(error) => {
            eprintln!("error: {}", error.message());
            if let Some(hint) = error.remedy() {
                eprintln!("\nhint: {hint}");
            }
            ExitCode::from(code(error.kind()))
        }
    }
}

/// Prints a line of data; a closed pipe ends the program quietly.
///
/// # Errors
/// `Io` when stdout takes no more.
pub fn print(line: &str) -> Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(e) => Err(Error::new(ErrorKind::Io, format!("stdout: {e}"))),
        Ok(()) => Ok(()),
    }
}

/// A value as one line of JSON.
///
/// # Errors
/// `Internal` when it has no JSON.
pub fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::new(ErrorKind::Internal, "JSON").source(e))
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn exit_codes_are_the_contract() {
        let code_of = |done, failed| Tally { done, failed }.code();
        assert_eq!((code_of(3, 0), code_of(2, 1), code_of(0, 3), code_of(0, 0)), (0, 1, 4, 0));
    }
}
