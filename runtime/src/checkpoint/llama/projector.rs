//! From patch tokens to the decoder's width, and what its training was about.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::tensors::Tensors;
use super::weights::Named;
use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::{Metric, TrainingData};

/// The value of `schema` in report.json.
pub(super) const SCHEMA: &str = "rad-dino-edge/report/1";

/// `report.json`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportConfig {
    /// `rad-dino-edge/report/1`
    pub schema: String,
    /// E, width of the encoder's patch tokens.
    pub encoder_width: usize,
    /// g: the encoder gives g×g patch tokens.
    pub grid: usize,
    /// Side of the squares of patch tokens whose mean is one image token.
    pub pool: usize,
    /// Width of the projector's hidden layer.
    pub hidden: usize,
    /// sha256 (hex) of the encoder's weights it was trained with.
    pub encoder_sha256: String,
    /// Most tokens a report may have.
    pub max_tokens: usize,
    /// Sources, licences and counts of what it was trained on.
    #[serde(default)]
    pub training_data: Vec<TrainingData>,
    /// Licence of the weights.
    #[serde(default)]
    pub licence: String,
    /// Metrics with 95 % intervals.
    #[serde(default)]
    pub metrics: Vec<Metric>,
}

/// fc2·gelu(fc1·x): weights [out, in].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Projector {
    /// [hidden, E]
    pub fc1_weight: Vec<f32>,
    /// [hidden]
    pub fc1_bias: Vec<f32>,
    /// [D, hidden]
    pub fc2_weight: Vec<f32>,
    /// [D]
    pub fc2_bias: Vec<f32>,
}

impl Projector {
    pub(super) fn read(dir: &Path, json: &str, width: usize) -> Result<(ReportConfig, Self)> {
        let refuse = |message: String| {
            Error::new(ErrorKind::Checkpoint, format!("{}: {message}", dir.join("report.json").display()))
                .hint("write the folder again with rad-dino-train report")
        };
        let config: ReportConfig = serde_json::from_str(json).map_err(|e| refuse(e.to_string()))?;
        if config.schema != SCHEMA {
            return Err(refuse(format!("schema {:?}, expected {SCHEMA}", config.schema)));
        }
        let within = |n: usize, most: usize| (1..=most).contains(&n);
        let fits = within(config.encoder_width, 16_384)
            && within(config.hidden, 65_536)
            && within(config.grid, 512)
            && within(config.pool, config.grid)
            && within(config.max_tokens, 4_096);
        if !fits {
            return Err(refuse("encoder_width, hidden, grid, pool and max_tokens make no projector".into()));
        }
        let path = dir.join("projector.safetensors");
        let mut tensors = Tensors::new(&path);
        tensors.add(&path)?;
        let (e, h) = (config.encoder_width, config.hidden);
        let mut reader = tensors.reader();
        let projector = Projector {
            fc1_weight: reader.take(&["fc1.weight"], &[h, e])?,
            fc1_bias: reader.take(&["fc1.bias"], &[h])?,
            fc2_weight: reader.take(&["fc2.weight"], &[width, h])?,
            fc2_bias: reader.take(&["fc2.bias"], &[width])?,
        };
        reader.finish()?;
        Ok((config, projector))
    }

    pub(super) fn tensors(&self, config: &ReportConfig) -> Vec<Named<'_>> {
        let (e, h, d) = (config.encoder_width, config.hidden, self.fc2_bias.len());
        vec![
            ("fc1.weight".into(), vec![h, e], &self.fc1_weight),
            ("fc1.bias".into(), vec![h], &self.fc1_bias),
            ("fc2.weight".into(), vec![d, h], &self.fc2_weight),
            ("fc2.bias".into(), vec![d], &self.fc2_bias),
        ]
    }
}
