//! The written report: from a decoder, held against the probes, or from fixed sentences over the probes.

#[cfg(feature = "engine")]
pub mod decoder;
mod ground;
pub mod labeller;
mod template;
pub mod tokenizer;
#[cfg(feature = "engine")]
mod write;

pub use ground::{Contradiction, contradictions, omissions};
pub use template::template;
#[cfg(feature = "engine")]
pub use write::Writer;

use serde::Serialize;

/// A report and where its words come from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The text.
    pub text: String,
    /// `template`: fixed sentences over the probes; `decoder`: written by a trained decoder.
    pub source: &'static str,
    /// The sentences of a decoder's text; none for a template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sentences: Vec<Sentence>,
}

/// One sentence of a decoder.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// Geometric mean of the probabilities of its tokens. How sure the decoder is of its words, not of the finding.
    pub confidence: f64,
    /// Labels about which the calibrated probes say otherwise; only where such sentences are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contradicts: Vec<String>,
}
