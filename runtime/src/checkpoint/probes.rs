//! `probes.json` and `probes.safetensors` beside an encoder: what `rad-dino-train probe` leaves and `convert` takes along.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::SegmentationHead;
use crate::model::manifest::{Heads, Metric, OutOfDistribution, TrainingData};

/// `probes.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProbesConfig {
    /// `rad-dino-edge/probes/1`.
    pub schema: String,
    /// Labels, thresholds and calibration of the heads.
    pub heads: Heads,
    /// When a picture is no chest film.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_distribution: Option<OutOfDistribution>,
    /// What the heads were trained on.
    #[serde(default)]
    pub training_data: Vec<TrainingData>,
    /// Licence of the encoder and heads together.
    #[serde(default)]
    pub licence: String,
    /// Metrics on the test split.
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

/// One head on the feature vector f = CLS ‖ mean of the patch tokens (both after the final LayerNorm), length 2D:
/// h = relu(hidden_weight · f + hidden_bias), output = weight · (f ‖ h) + bias.
/// In the file: `{head}.weight`, `{head}.bias`, `{head}.hidden.weight`, `{head}.hidden.bias`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeHead {
    /// K
    pub outputs: usize,
    /// H; 0 for a linear head.
    pub hidden: usize,
    /// [K, 2D + H]
    pub weight: Vec<f32>,
    /// [K]
    pub bias: Vec<f32>,
    /// [H, 2D]
    pub hidden_weight: Vec<f32>,
    /// [H]
    pub hidden_bias: Vec<f32>,
}

/// All heads of a checkpoint folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probes {
    /// `probes.json`.
    pub config: ProbesConfig,
    /// Weights by head name: `findings`, `sex`, `age`, `view`.
    pub heads: BTreeMap<String, ProbeHead>,
    /// The head on patch tokens.
    pub segmentation: Option<SegmentationHead>,
}
