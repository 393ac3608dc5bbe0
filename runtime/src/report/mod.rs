//! The written report: from a decoder or a similar film, held against the probes, or from fixed sentences over the probes.

#[cfg(feature = "engine")]
mod author;
#[cfg(feature = "engine")]
pub mod decoder;
mod ground;
pub mod labeller;
#[cfg(feature = "engine")]
pub mod retrieval;
mod template;
pub mod tokenizer;
#[cfg(feature = "engine")]
mod write;

#[cfg(feature = "engine")]
pub use author::Author;
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
    /// `template`: fixed sentences over the probes; `decoder`: written by a trained decoder; `retrieval`: the report of the
    /// most similar film of a collection.
    pub source: &'static str,
    /// The sentences of a decoder's or another film's text; none for a template.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sentences: Vec<Sentence>,
}

/// One sentence of a written report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sentence {
    /// The sentence.
    pub text: String,
    /// Of a decoder the geometric mean of the probabilities of its tokens: how sure it is of its words, not of the finding.
    /// Of a retrieval the cosine between the films' CLS tokens.
    pub confidence: f64,
    /// Labels about which the calibrated probes say otherwise; only where such sentences are kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contradicts: Vec<String>,
}
