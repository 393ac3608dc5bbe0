//! The study's TOML.

use std::path::{Path, PathBuf};

use rad_dino_edge::Result;
use serde::{Deserialize, Serialize};

use super::arm::{Arm, Kind};
use crate::config_file;
use crate::{pretrain, supervised};

/// Where the keys are explained.
const KEYS: &str = "train/configs/study.toml explains the keys";

/// Everything a study needs but the folder it writes. An unknown key is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Manifests; relative paths are relative to the TOML.
    pub data: Vec<PathBuf>,
    /// Checkpoint folder that every arm but `random` and `images-from-scratch` starts from; without it all start fresh.
    #[serde(default)]
    pub start: Option<PathBuf>,
    /// BERT folder (config.json, tokenizer.json, model.safetensors) that reads the reports; without it a small text
    /// encoder starts fresh.
    #[serde(default)]
    pub text_encoder: Option<PathBuf>,
    /// What is compared, on all films.
    pub arms: Vec<Kind>,
    /// Further runs of `images` on these shares of the patients.
    #[serde(default)]
    pub fractions: Vec<f64>,
    /// Further runs of `images` on one source each.
    #[serde(default)]
    pub single_sources: Vec<String>,
    /// Steps of every training: the same budget for all.
    pub steps: usize,
    /// Side at which frozen encoders are probed, pixels.
    #[serde(default = "default_size")]
    pub image_size: usize,
    /// Films a step, crops, rates of the runs on images alone; its `steps`, `fraction` and `sources` are the study's.
    #[serde(default)]
    pub pretrain: pretrain::Config,
    /// The run with labels. Its `steps` and films a step are the study's.
    #[serde(default)]
    pub labels: supervised::Config,
    /// The run with reports, likewise.
    #[serde(default)]
    pub reports: supervised::Config,
}

fn default_size() -> usize {
    224
}

impl Config {
    /// Reads and checks a TOML file; its relative paths become relative to the process.
    ///
    /// # Errors
    /// `Io`, or `Usage` naming the key.
    pub fn read(path: &Path) -> Result<Self> {
        let mut config = config_file::read(path, KEYS, Self::check)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        config
            .data
            .iter_mut()
            .chain(&mut config.start)
            .chain(&mut config.text_encoder)
            .for_each(|p| *p = folder.join(&*p));
        Ok(config)
    }

    fn check(&self) -> Result<()> {
        self.pretrain.check()?;
        self.labels.check()?;
        self.reports.check()?;
        let wanted = [
            ("data", !self.data.is_empty()),
            ("arms", !self.arms.is_empty()),
            ("fractions", self.fractions.iter().all(|f| *f > 0.0 && *f < 1.0)),
            ("steps", (1..=100_000_000).contains(&self.steps)),
            ("image_size", (1..=4_096).contains(&self.image_size)),
        ];
        config_file::sensible(wanted, KEYS)
    }

    /// All arms in the order in which they are trained and shown.
    pub fn all_arms(&self) -> Vec<Arm> {
        let whole = self.arms.iter().map(|kind| Arm::whole(*kind));
        let shares = self.fractions.iter().map(|f| Arm { fraction: *f, ..Arm::whole(Kind::Images) });
        let single = self.single_sources.iter().map(|s| Arm { source: Some(s.clone()), ..Arm::whole(Kind::Images) });
        let mut arms: Vec<Arm> = Vec::new();
        for arm in whole.chain(shares).chain(single) {
            if !arms.contains(&arm) {
                arms.push(arm);
            }
        }
        arms
    }

    /// How `arm` is trained on images alone.
    pub fn pretraining(&self, arm: &Arm) -> pretrain::Config {
        let mut config = self.pretrain.clone();
        config.train.steps = self.steps;
        config.train.fraction = arm.fraction;
        config.train.sources = arm.source.iter().cloned().collect();
        if arm.kind == Kind::ImagesWithoutIbot {
            config.loss.ibot = 0.0;
        }
        config
    }

    /// How `arm` is trained with labels or reports: as many films a step as on images alone.
    pub fn supervision(&self, arm: &Arm) -> supervised::Config {
        let own = if arm.kind == Kind::Reports { &self.reports } else { &self.labels };
        let (films, accumulate) = (self.pretrain.train.films, self.pretrain.train.accumulate);
        supervised::Config { steps: self.steps, films, accumulate, fraction: arm.fraction, ..own.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_parses_and_sets_the_same_budget_for_all() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/study.toml");
        let config = Config::read(&path).unwrap();
        let arms = config.all_arms();
        assert!(arms.len() >= 8 && arms.iter().any(|a| a.fraction == 0.1), "{arms:?}");
        for arm in &arms {
            let (images, labels) = (config.pretraining(arm), config.supervision(arm));
            assert_eq!((images.train.steps, labels.steps), (config.steps, config.steps));
            assert_eq!(images.batch(), labels.batch());
        }
        assert!(config.data.iter().all(|p| p.starts_with(path.parent().unwrap())));
    }
}
