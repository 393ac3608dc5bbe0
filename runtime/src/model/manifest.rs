//! The manifest inside a model file (`metadata_props["rad_dino.manifest"]`, JSON): everything `infer` needs to know
//! beside the graph, so that no label, threshold or pixel constant lives in code.

use serde::{Deserialize, Serialize};

use crate::preprocess::Preprocessing;

/// The key of the manifest in the ONNX file's `metadata_props`.
pub const MANIFEST_KEY: &str = "rad_dino.manifest";
/// The value of `schema` this build writes and reads.
pub const MANIFEST_SCHEMA: &str = "rad-dino-edge/model/1";
/// The sentence every manifest carries in `notice`.
pub const NOTICE: &str = "Research software. Not a medical device; not for clinical use.";

/// What a model file says about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`MANIFEST_SCHEMA`].
    pub schema: String,
    /// Model name, for people.
    pub name: String,
    /// Model version.
    pub version: String,
    /// fp32, fp16 or int8.
    pub precision: Precision,
    /// Shape of the encoder.
    pub architecture: Architecture,
    /// Pixels in.
    pub preprocessing: Preprocessing,
    /// The trained heads; each is present only when the graph has its output.
    #[serde(default)]
    pub heads: Heads,
    /// When a picture is no chest film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_distribution: Option<OutOfDistribution>,
    /// Sources, licences and counts of what the weights and the heads were trained on.
    #[serde(default)]
    pub training_data: Vec<TrainingData>,
    /// Licence of the weights, SPDX expression or sentence.
    #[serde(default)]
    pub licence: String,
    /// Metrics with 95 % intervals, as `rad-dino-train evaluate` prints them.
    #[serde(default)]
    pub metrics: Vec<Metric>,
    /// sha256 (hex) of the checkpoint's model.safetensors.
    #[serde(default)]
    pub parent_sha256: String,
    /// [`NOTICE`].
    pub notice: String,
}

/// Number format of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// 16-bit float weights, 32-bit arithmetic.
    Fp16,
    /// 8-bit integer weights and activations in the linear layers.
    Int8,
}

impl Precision {
    /// The word used in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Fp16 => "fp16",
            Precision::Int8 => "int8",
        }
    }
}

/// Shape of the encoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Architecture {
    /// `dinov2` or `dinov2_with_registers`.
    pub family: String,
    /// S: input height = width, pixels.
    pub image_size: usize,
    /// Patch side, pixels.
    pub patch_size: usize,
    /// D.
    pub embed_dim: usize,
    /// Number of transformer blocks.
    pub depth: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Hidden width of the feed-forward layer.
    pub mlp_dim: usize,
    /// R.
    pub num_register_tokens: usize,
}

/// The trained heads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Heads {
    /// One entry per column of `findings_logits`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// `sex_logits`: the logit of female.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sex: Option<Calibration>,
    /// `age_years`.
    #[serde(default)]
    pub age: bool,
    /// Labels of the columns of `view_logits` (softmax).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub view: Vec<String>,
    /// Labels of the channels of `segmentation_logits` (sigmoid each).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segmentation: Vec<String>,
}

impl Heads {
    /// The heads a model may have, in the order of the graph's outputs.
    pub const NAMES: [&str; 5] = ["findings", "sex", "age", "view", "segmentation"];

    /// The graph's output of the head `name`; empty for a name that is none of [`Heads::NAMES`].
    pub fn output_name(name: &str) -> &'static str {
        match name {
            "findings" => "findings_logits",
            "sex" => "sex_logits",
            "age" => "age_years",
            "view" => "view_logits",
            "segmentation" => "segmentation_logits",
            _ => "",
        }
    }

    /// The heads that are declared, in the order of [`Heads::NAMES`], with the number of their outputs: columns, or
    /// channels of the segmentation.
    pub fn declared(&self) -> Vec<(&'static str, usize)> {
        let counts = [
            self.findings.len(),
            usize::from(self.sex.is_some()),
            usize::from(self.age),
            self.view.len(),
            self.segmentation.len(),
        ];
        Heads::NAMES.into_iter().zip(counts).filter(|(_, outputs)| *outputs > 0).collect()
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The manifest's word (`pneumonia`, `pleural_effusion`, …).
    pub label: String,
    /// Calibrated probability at or above which it counts as positive.
    pub threshold: f64,
    /// From logit to probability.
    pub calibration: Calibration,
}

/// Platt scaling: probability = sigmoid(scale · logit + offset).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Multiplies the logit.
    pub scale: f64,
    /// Is added.
    pub offset: f64,
}

impl Calibration {
    /// The calibrated probability of `logit`.
    pub fn probability(&self, logit: f64) -> f64 {
        1.0 / (1.0 + (-(self.scale * logit + self.offset)).exp())
    }
}

/// Mahalanobis distance of the CLS token from the training films, in a principal subspace plus the residual:
/// d² = Σᵢ zᵢ²/λᵢ + |r|²/λᵣ, with z = B(cls − mean), r = cls − mean − Bᵀz.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutOfDistribution {
    /// Above this distance d a picture is flagged.
    pub limit: f64,
    /// D.
    pub dim: usize,
    /// K, directions kept.
    pub rank: usize,
    /// λᵢ, K values, and λᵣ as the last one.
    pub variances: Vec<f64>,
    /// mean [D] then B [K, D], little-endian f16, base64.
    pub basis: String,
    /// Further reasons to flag a picture, which the distance alone misses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detectors: Vec<Detector>,
}

/// A linear detector on CLS ‖ mean of the patch tokens: weights · features + bias > 0 flags the picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Detector {
    /// What it finds: `upside_down`, `sideways`, `inverted`.
    pub label: String,
    /// Its limit is in it.
    pub bias: f64,
    /// [2D], little-endian f16, base64.
    pub weights: String,
}

/// One source of training data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingData {
    /// Name of the source.
    pub source: String,
    /// Its licence(s).
    pub licence: String,
    /// Films used.
    pub films: usize,
}

/// One metric with its interval; the element of `evaluate --format json`'s `metrics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Source it was measured on.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// findings, sex, age, view, segmentation.
    pub task: String,
    /// Label within the task.
    pub label: String,
    /// auroc, auprc, mae, accuracy, dice, iou, dice_scan.
    pub metric: String,
    /// Point estimate; null when it cannot be computed (one class only).
    pub value: Option<f64>,
    /// Lower end of the 95 % interval.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Films.
    pub n: usize,
    /// Positive films (0 for regression).
    pub positives: usize,
}
