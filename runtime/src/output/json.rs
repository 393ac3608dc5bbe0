//! The objects printed by `infer --format json`, one a line and scan.

use serde::Serialize;

use crate::engine::Engine;
use crate::error::Error;
use crate::model::Manifest;
use crate::probe::{Attributes, FindingResult};
use crate::report::Report;
use crate::scan::{Scan, Tags};

/// The value of `schema`.
pub const INFER_SCHEMA: &str = "rad-dino-edge/infer/1";

/// The answer for one scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// [`INFER_SCHEMA`]
    pub schema: &'static str,
    /// The scan.
    pub input: Input,
    /// The model.
    pub model: Model,
    /// What ran it.
    pub engine: EngineInfo,
    /// Absent when the model has no findings head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Vec<FindingResult>>,
    /// Always there.
    pub attributes: Attributes,
    /// One entry a region; absent when the model has no segmentation head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segmentation: Option<Vec<Region>>,
    /// With `--report`, unless the picture is out of distribution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// Always there.
    pub embedding: Embedding,
    /// Always there.
    pub timing_ms: Timing,
    /// Empty when there are none.
    pub warnings: Vec<Warning>,
}

/// The scan a result is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Input {
    /// As given.
    pub path: String,
    /// Of the file's bytes.
    pub sha256: String,
    /// `png`, `jpeg` or `dicom`.
    pub format: &'static str,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// What a DICOM file says of view, sex and age: for comparison with the estimates, never a model's input. Absent when
    /// it says nothing.
    #[serde(skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}

/// The model that answered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// From the manifest; the file's stem for a file without one.
    pub name: String,
    /// From the manifest; absent for a file without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of the model file.
    pub sha256: String,
    /// fp32, fp16, int8; absent when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<&'static str>,
    /// S
    pub image_size: usize,
    /// Patch side.
    pub patch_size: usize,
    /// D
    pub embed_dim: usize,
}

impl Model {
    /// Describes `engine`; `name` is used when it has no manifest.
    pub fn new(engine: &Engine, name: &str) -> Self {
        let manifest = engine.manifest();
        let shape = engine.shape();
        Model {
            name: manifest.map_or(name, |m| &m.name).to_string(),
            version: manifest.map(|m| m.version.clone()),
            sha256: engine.sha256().to_string(),
            precision: manifest.map(|m: &Manifest| m.precision.as_str()),
            image_size: shape.image_size,
            patch_size: shape.patch_size,
            embed_dim: shape.embed_dim,
        }
    }
}

/// What ran the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EngineInfo {
    /// Of this crate.
    pub version: &'static str,
    /// Instruction set.
    pub isa: &'static str,
    /// Threads.
    pub threads: usize,
}

impl EngineInfo {
    /// Describes `engine`.
    pub fn new(engine: &Engine) -> Self {
        EngineInfo { version: env!("CARGO_PKG_VERSION"), isa: engine.isa().as_str(), threads: engine.threads() }
    }
}

/// A region that the model draws.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Region {
    /// From the manifest.
    pub label: String,
    /// Share of the whole scan's area; what lies outside the centre crop counts as not marked.
    pub area_fraction: f64,
}

/// The CLS token in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Embedding {
    /// D
    pub dim: usize,
    /// |CLS|₂
    pub l2_norm: f64,
}

/// Milliseconds spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timing {
    /// Reading and decoding the file.
    pub read: f64,
    /// Resizing, cropping, normalising.
    pub preprocess: f64,
    /// The encoder.
    pub encoder: f64,
    /// Heads, calibration, distance.
    pub heads: f64,
    /// The report.
    pub report: f64,
    /// From opening the file to this object.
    pub total: f64,
}

/// Milliseconds, to the microsecond.
pub(crate) fn milliseconds(time: std::time::Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Something the reader must know.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    /// `out_of_distribution`
    pub kind: &'static str,
    /// In words.
    pub message: String,
}

/// The answer for a scan that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    schema: &'static str,
    input: FailedInput,
    error: FailedError,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct FailedInput {
    path: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct FailedError {
    kind: &'static str,
    message: String,
}

impl Failure {
    /// Why the scan at `path` failed.
    pub fn new(path: &str, error: &Error) -> Self {
        let error = FailedError { kind: error.kind().as_str(), message: error.to_string() };
        Failure { schema: INFER_SCHEMA, input: FailedInput { path: path.to_string() }, error }
    }
}

impl Input {
    /// Describes `scan`, read from `path`.
    pub fn new(path: &str, scan: &Scan) -> Self {
        Input {
            path: path.to_string(),
            sha256: scan.sha256.clone(),
            format: scan.format.as_str(),
            width: scan.width,
            height: scan.height,
            tags: scan.tags.clone(),
        }
    }
}
