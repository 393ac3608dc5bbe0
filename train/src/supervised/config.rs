//! How an encoder is trained with labels or with reports.

use std::path::Path;

use rad_dino_edge::Result;
use serde::{Deserialize, Serialize};

use crate::config_file;
use crate::pretrain::config::Augment;
use crate::vit::Precision;

/// Where the keys are explained.
const KEYS: &str = "train/configs/finetune.toml says what each key means";

/// Every key has a default; an unknown key is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Side of a view, pixels.
    pub size: usize,
    /// Share of the film's area that a view shows, lowest and highest.
    pub scale: [f64; 2],
    /// Steps in all.
    pub steps: usize,
    /// Films a micro-batch.
    pub films: usize,
    /// Micro-batches a step.
    pub accumulate: usize,
    /// Learning rate of the encoder after warm-up.
    pub rate: f64,
    /// Of everything else.
    pub head_rate: f64,
    /// Share of the run that warms up.
    pub warmup: f64,
    /// Factor a layer downwards.
    pub layer_decay: f64,
    /// None on biases, norms and LayerScale.
    pub weight_decay: f64,
    /// Largest gradient norm, apart for encoder and head; 0 = none.
    pub clip: f64,
    /// First blocks (and the embeddings) that do not learn.
    pub freeze_blocks: usize,
    /// Share of the samples a branch leaves out.
    pub drop_path: f64,
    /// Of the encoder's matrix products.
    pub precision: Precision,
    /// How much smaller sources are repeated, as in pretraining.
    pub balance: f64,
    /// Share of the patients of the train split that are used.
    pub fraction: f64,
    /// Steps between looks at val; the best look is kept.
    pub look_every: usize,
    /// Val films of each source a look uses, at most.
    pub look_films: usize,
    /// Looks without gain after which training stops.
    pub patience: usize,
    /// Of everything drawn.
    pub seed: u64,
    /// Brightness, contrast, blur.
    pub augment: Augment,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            size: 224,
            scale: [0.5, 1.0],
            steps: 400,
            films: 8,
            accumulate: 4,
            rate: 2e-5,
            head_rate: 1e-3,
            warmup: 0.1,
            layer_decay: 0.75,
            weight_decay: 0.05,
            clip: 3.0,
            freeze_blocks: 0,
            drop_path: 0.0,
            precision: Precision::F32,
            balance: 0.5,
            fraction: 1.0,
            look_every: 40,
            look_films: 300,
            patience: 4,
            seed: 0,
            augment: Augment { jitter: 0.2, ..Augment::default() },
        }
    }
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// `Io`, or `Usage` naming the key.
    pub fn read(path: &Path) -> Result<Self> {
        config_file::read(path, KEYS, Self::check)
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn check(&self) -> Result<()> {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        let natural = |v: f64| v.is_finite() && v >= 0.0;
        let wanted = [
            ("size", (1..=4_096).contains(&self.size)),
            ("scale", self.scale[0] > 0.0 && self.scale[0] <= self.scale[1] && self.scale[1] <= 1.0),
            ("steps", (1..=100_000_000).contains(&self.steps)),
            ("films", (1..=65_536).contains(&self.films)),
            ("accumulate", (1..=65_536).contains(&self.accumulate)),
            ("rate", natural(self.rate)),
            ("head_rate", natural(self.head_rate)),
            ("warmup", share(self.warmup)),
            ("layer_decay", self.layer_decay > 0.0 && self.layer_decay <= 1.0),
            ("weight_decay", natural(self.weight_decay)),
            ("clip", natural(self.clip)),
            ("drop_path", (0.0..1.0).contains(&self.drop_path)),
            ("balance", share(self.balance)),
            ("fraction", self.fraction > 0.0 && self.fraction <= 1.0),
            ("look_every", self.look_every > 0),
            ("look_films", self.look_films > 0),
            ("patience", self.patience > 0),
        ];
        config_file::sensible(wanted, KEYS)
    }

    /// Films a step.
    pub fn batch(&self) -> usize {
        self.films * self.accumulate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_the_default() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/finetune.toml");
        assert_eq!(Config::read(&path).unwrap(), Config::default());
        let named: toml::Table = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for key in serde_json::to_value(Config::default()).unwrap().as_object().unwrap().keys() {
            assert!(named.contains_key(key), "{key} is not documented");
        }
        assert!(Config { fraction: 0.0, ..Config::default() }.check().unwrap_err().message().contains("fraction"));
    }
}
