//! The one error type of the runtime: what is wrong, where, and what to do about it.

use std::fmt;
use std::path::Path;

/// What kind of failure it is; the word in the `error.kind` field of the JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file could not be opened, read or written.
    Io,
    /// A configured limit (bytes, side length, decoded bytes) would be exceeded.
    Limits,
    /// The bytes are not a picture this build can read.
    UnsupportedFormat,
    /// The bytes claim to be a known format but break its rules.
    Malformed,
    /// A model file or its manifest was refused.
    Model,
    /// A checkpoint folder, its config or one of its tensors was refused.
    Checkpoint,
    /// A signature is missing, damaged, by another key, or not that of the file.
    Signature,
    /// A manifest.csv or one of its rows was refused.
    Data,
    /// The request itself makes no sense (arguments, combinations, an unavailable instruction set).
    Usage,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Io => "io",
            ErrorKind::Limits => "limits",
            ErrorKind::UnsupportedFormat => "unsupported_format",
            ErrorKind::Malformed => "malformed",
            ErrorKind::Model => "model",
            ErrorKind::Checkpoint => "checkpoint",
            ErrorKind::Signature => "signature",
            ErrorKind::Data => "data",
            ErrorKind::Usage => "usage",
            ErrorKind::Internal => "internal",
        }
    }
}

/// An error with its kind, a message that names file, tag or tensor, and a remedy.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A new error; `message` says what is wrong and where.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error { kind, message: message.into(), hint: None, source: None }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the error underneath.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `place: ` before the message, for callers that know the file.
    #[must_use]
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// A model that computes what is no number: of weights that were damaged, or of a training that diverged.
    pub(crate) fn not_finite(what: &str) -> Self {
        Error::new(ErrorKind::Model, format!("the model is damaged: {what} holds values that are not finite"))
            .hint("make the file again with rad-dino-quantize convert")
    }

    /// An I/O failure on `path`.
    pub fn io(path: &Path, error: std::io::Error) -> Self {
        let hint = match error.kind() {
            std::io::ErrorKind::NotFound => "check the path",
            std::io::ErrorKind::PermissionDenied => "check the permissions",
            _ => "check the disk and the path",
        };
        Error::new(ErrorKind::Io, format!("{}: {error}", path.display())).hint(hint)
    }

    /// The kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The remedy, if one is known.
    pub fn remedy(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, " (hint: {hint})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as _)
    }
}
