//! The written report.

#[cfg(feature = "engine")]
pub mod decoder;
pub mod labeller;
mod template;
pub mod tokenizer;

pub use template::template;

use serde::Serialize;

/// A report and where its words come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The text.
    pub text: String,
    /// `template`: fixed sentences over the probes.
    pub source: &'static str,
}
