//! What a comparison found. The JSON object of `compare --format json`.

use std::path::Path;

use rad_dino_edge::model::manifest::Precision;
use rad_dino_train::data::Split;
use rad_dino_train::evaluate::scores::Estimate;
use rad_dino_train::features::Encoder;
use serde::Serialize;

use super::decisions::Decision;
use super::timing::Milliseconds;

/// `schema` of the JSON.
const SCHEMA: &str = "rad-dino-quantize/compare/1";

/// The whole comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    schema: &'static str,
    /// The model that is right by definition.
    pub reference: File,
    /// The other one.
    pub candidate: File,
    /// Instruction set of both.
    pub isa: &'static str,
    /// Threads of both.
    pub threads: usize,
    /// Split that was measured.
    pub split: &'static str,
    /// Films that could not be read.
    pub failed: usize,
    /// How alike the tokens are.
    pub tokens: Likeness,
    /// Probes of both, and the difference on the same resamples of patients.
    pub metrics: Vec<Row>,
    /// Decisions film by film.
    pub decisions: Vec<Decision>,
}

/// A model file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct File {
    /// Its stem.
    pub name: String,
    /// In its manifest.
    pub precision: Option<Precision>,
    /// sha256 (hex).
    pub sha256: String,
    /// Size.
    pub bytes: u64,
    /// Peak memory of a process that loads it and runs one image, MB; null where the system does not say.
    pub peak_rss_mb: Option<f64>,
    /// One image, measured in turns with the other model.
    pub encoder_ms: Milliseconds,
    #[serde(skip)]
    isa: &'static str,
    #[serde(skip)]
    threads: usize,
}

/// Cosines between the tokens of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Likeness {
    /// Films.
    pub films: usize,
    /// CLS token, mean over films.
    pub cls_mean: f64,
    /// CLS token, worst film.
    pub cls_worst: f64,
    /// Patch tokens, mean.
    pub patch_mean: f64,
    /// Worst patch token.
    pub patch_worst: f64,
    /// Largest difference of a value of a token.
    pub largest_difference: f64,
}

/// One metric of one source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The source.
    pub source: String,
    /// As `evaluate` names it.
    pub task: &'static str,
    /// Label within the task.
    pub label: String,
    /// As `evaluate` names it.
    pub metric: &'static str,
    /// Films.
    pub n: usize,
    /// Positive films.
    pub positives: usize,
    /// Of the reference.
    pub reference: Estimate,
    /// Of the candidate.
    pub candidate: Estimate,
    /// Candidate minus reference, interval by pairs; null where the films differ.
    pub difference: Option<Estimate>,
}

impl File {
    pub(super) fn new(
        path: &Path,
        encoder: &Encoder,
        bytes: u64,
        peak_rss_mb: Option<f64>,
        encoder_ms: Milliseconds,
    ) -> Self {
        let engine = encoder.engine();
        File {
            name: path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default(),
            precision: engine.manifest().map(|m| m.precision),
            sha256: engine.sha256().to_owned(),
            bytes,
            peak_rss_mb,
            encoder_ms,
            isa: engine.isa().as_str(),
            threads: engine.threads(),
        }
    }
}

impl Comparison {
    pub(super) fn new(
        reference: File,
        candidate: File,
        split: Split,
        tokens: Likeness,
        failed: usize,
        metrics: Vec<Row>,
        decisions: Vec<Decision>,
    ) -> Self {
        let (isa, threads, split) = (reference.isa, reference.threads, split.as_str());
        Comparison { schema: SCHEMA, reference, candidate, isa, threads, split, failed, tokens, metrics, decisions }
    }
}
