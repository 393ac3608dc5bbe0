//! `verify`: whether a file is the one that was signed.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::options::Format;
use super::{Tally, json, print};
use crate::error::Result;
use crate::signature::{self, Key, Verified};

/// The value of `schema`.
const SCHEMA: &str = "rad-dino-edge/verify/1";

/// Whether a model or a binary is the one that was signed (minisign). Exit code 3 when it is not.
#[derive(Debug, Args)]
pub struct Verify {
    /// The signed file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// minisign's public key: a file, or the key itself.
    #[arg(long, value_name = "PUB")]
    key: String,
    /// The signature; without it FILE.minisig.
    #[arg(long, value_name = "FILE.minisig")]
    signature: Option<PathBuf>,
    /// text or json.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Nothing on stdout: the exit code alone tells.
    #[arg(long)]
    quiet: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    file: &'a Path,
    verified: bool,
    #[serde(flatten)]
    signed: Option<&'a Verified>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Reason<'a>>,
}

#[derive(Serialize)]
struct Reason<'a> {
    kind: &'static str,
    message: &'a str,
}

impl Verify {
    pub(super) fn run(&self) -> Result<Tally> {
        let key = Key::read(&self.key)?;
        let signature = self.signature.clone().unwrap_or_else(|| signature::beside(&self.file));
        let result = key.verify(&self.file, &signature);
        if !self.quiet {
            match (self.format, &result) {
                (Format::Json, result) => print(&json(&self.report(result))?)?,
                (Format::Text, Ok(signed)) => print(&self.text(signed))?,
                (Format::Text, Err(_)) => {}
            }
        }
        result.map(|_| Tally { done: 1, failed: 0 })
    }

    fn report<'a>(&'a self, result: &'a Result<Verified>) -> Report<'a> {
        let error = result.as_ref().err().map(|e| Reason { kind: e.kind().as_str(), message: e.message() });
        Report { schema: SCHEMA, file: &self.file, verified: result.is_ok(), signed: result.as_ref().ok(), error }
    }

    fn text(&self, signed: &Verified) -> String {
        format!(
            "verified  {} ({} bytes)\nsha256    {}\nkey       {}\ncomment   {}",
            self.file.display(),
            signed.bytes,
            signed.sha256,
            signed.key_id,
            signed.trusted_comment
        )
    }
}
