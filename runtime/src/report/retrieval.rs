//! Films whose reports are known: the report of the one most like a film is that film's draft.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::TrainingData;
use crate::model::onnx::OnnxFile;

/// The key of the manifest in the ONNX file's `metadata_props`.
pub const RETRIEVAL_KEY: &str = "rad_dino.retrieval";
/// The key of the reports, a JSON array of strings.
pub const REPORTS_KEY: &str = "rad_dino.reports";
/// The value of `schema` this build writes and reads.
pub const RETRIEVAL_SCHEMA: &str = "rad-dino-edge/retrieval/1";
/// The initialiser with one film a row, [R, D], each of length 1.
pub const FILMS: &str = "films";

/// What a retrieval file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrievalManifest {
    /// [`RETRIEVAL_SCHEMA`]
    pub schema: String,
    /// For people.
    pub name: String,
    /// For people.
    pub version: String,
    /// D
    pub encoder_width: usize,
    /// S, pixels, at which the films were read.
    pub image_size: usize,
    /// sha256 (hex) of the weights that the encoder was made of; empty when unknown.
    #[serde(default)]
    pub encoder_sha256: String,
    /// Sources, licences and counts of the films.
    #[serde(default)]
    pub training_data: Vec<TrainingData>,
    /// Licence of the reports.
    #[serde(default)]
    pub licence: String,
    /// That this is no medical device.
    pub notice: String,
}

/// A loaded retrieval file; threads may share it.
#[derive(Clone, Debug)]
pub struct Retrieval {
    manifest: RetrievalManifest,
    /// [R, D]
    films: Vec<f32>,
    reports: Vec<String>,
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message.into()).hint("make the file again with rad-dino-quantize retrieval")
}

impl Retrieval {
    /// From a parsed file.
    ///
    /// # Errors
    /// `Model` for a file that is refused.
    pub(super) fn from_onnx(file: &OnnxFile<'_>) -> Result<Self> {
        let entry = |key: &str| file.metadata.get(key).ok_or_else(|| refused(format!("metadata `{key}` is missing")));
        let unread = |key: &str, e: serde_json::Error| refused(format!("`{key}` cannot be read: {e}"));
        let manifest: RetrievalManifest =
            serde_json::from_str(entry(RETRIEVAL_KEY)?).map_err(|e| unread(RETRIEVAL_KEY, e))?;
        if manifest.schema != RETRIEVAL_SCHEMA {
            return Err(refused(format!("schema `{}`; this build reads {RETRIEVAL_SCHEMA}", manifest.schema)));
        }
        let reports: Vec<String> = serde_json::from_str(entry(REPORTS_KEY)?).map_err(|e| unread(REPORTS_KEY, e))?;
        let tensor = file.tensor(FILMS)?;
        if reports.is_empty() || manifest.encoder_width == 0 {
            return Err(refused("it holds no films"));
        }
        tensor.expect_shape(&[reports.len(), manifest.encoder_width])?;
        let films = tensor.to_f32()?;
        if films.iter().any(|x| !x.is_finite()) {
            return Err(refused(format!("tensor `{FILMS}` holds values that are not finite")));
        }
        Ok(Retrieval { manifest, films, reports })
    }

    /// What the file says about itself.
    pub fn manifest(&self) -> &RetrievalManifest {
        &self.manifest
    }

    /// The report of the film most like one with CLS token `cls` [D], and the cosine between them; of films alike the
    /// first. None for a CLS token without length.
    pub fn nearest(&self, cls: &[f32]) -> Option<(&str, f64)> {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let length = dot(cls, cls).sqrt();
        if cls.len() != self.manifest.encoder_width || length.is_nan() || length <= 0.0 {
            return None;
        }
        let mut best: Option<(&str, f64)> = None;
        for (film, report) in self.films.chunks_exact(cls.len()).zip(&self.reports) {
            let cosine = dot(film, cls) / length;
            if best.is_none_or(|(_, most)| cosine > most) {
                best = Some((report, cosine));
            }
        }
        best.map(|(report, cosine)| (report, cosine.clamp(-1.0, 1.0)))
    }
}
