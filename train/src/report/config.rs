//! How a report writer is trained.

use std::path::Path;

use rad_dino_edge::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::Cleaning;
use crate::config_file;
use crate::vit::Precision;

/// Where the keys are explained.
const KEYS: &str = "see train/configs/report.toml";

/// What makes a look at val the best one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The loss of the words: soon best for texts that say what most films' reports say.
    Loss,
    /// Micro-F1 of CheXpert's 14 labels in the texts it writes, and as much again of it as is owed to the images; the loss
    /// where nothing is asserted.
    #[default]
    Findings,
}

/// Every key has a default; an unknown key is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Most tokens of the vocabulary when it is trained here.
    pub vocabulary: usize,
    /// D of the decoder.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// H
    pub heads: usize,
    /// KV; divides H.
    pub kv_heads: usize,
    /// F
    pub feed_forward: usize,
    /// Side of the squares of patch tokens whose mean is one image token.
    pub pool: usize,
    /// Width of the projector's hidden layer.
    pub projector: usize,
    /// Most tokens of a report; longer ones are cut.
    pub max_tokens: usize,
    /// Reports a step.
    pub batch: usize,
    /// Steps on text alone.
    pub text_steps: usize,
    /// Steps of the projector alone.
    pub projector_steps: usize,
    /// Steps of both.
    pub joint_steps: usize,
    /// Learning rate on text and of the projector alone, after warm-up.
    pub rate: f64,
    /// Learning rate of both together.
    pub joint_rate: f64,
    /// Share of a phase that warms up.
    pub warmup: f64,
    /// None on biases and norms.
    pub weight_decay: f64,
    /// Share of the target that all tokens share.
    pub smoothing: f64,
    /// Share of the image tokens that are hidden from the decoder while it learns.
    pub image_dropout: f64,
    /// Largest gradient norm, apart for projector and decoder; 0 = none.
    pub clip: f64,
    /// Steps between looks at val; the best look is kept.
    pub look_every: usize,
    /// Val films a look uses, at most.
    pub look_films: usize,
    /// What makes a look the best.
    pub choose: Choice,
    /// Looks without gain after which training stops.
    pub patience: usize,
    /// How much smaller sources are repeated: 0 = as they are, 1 = all alike.
    pub balance: f64,
    /// How much reports that assert rarer findings are repeated: 0 = as they are, 1 = all findings alike.
    pub rarity: f64,
    /// How much the projector is also taught to tell the report's labels; 0 = not at all.
    pub findings: f64,
    /// Of the matrix products.
    pub precision: Precision,
    /// Of everything drawn.
    pub seed: u64,
    /// What is taken out of the reports.
    pub cleaning: Cleaning,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            vocabulary: 1024,
            width: 256,
            layers: 4,
            heads: 4,
            kv_heads: 2,
            feed_forward: 640,
            pool: 2,
            projector: 512,
            max_tokens: 80,
            batch: 16,
            text_steps: 300,
            projector_steps: 100,
            joint_steps: 1200,
            rate: 1e-3,
            joint_rate: 6e-4,
            warmup: 0.05,
            weight_decay: 0.05,
            smoothing: 0.1,
            image_dropout: 0.1,
            clip: 1.0,
            look_every: 100,
            look_films: 256,
            choose: Choice::Findings,
            patience: 5,
            balance: 0.0,
            rarity: 0.0,
            findings: 0.0,
            precision: Precision::F32,
            seed: 1,
            cleaning: Cleaning::default(),
        }
    }
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// `Usage` naming the file and what is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        config_file::read(path, KEYS, Self::check)
    }

    /// Refuses what makes no training.
    ///
    /// # Errors
    /// `Usage` naming the key.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorKind::Usage, what).hint(KEYS));
        if [self.width, self.layers, self.heads, self.kv_heads, self.feed_forward, self.projector, self.pool]
            .contains(&0)
        {
            return wrong("width, layers, heads, kv_heads, feed_forward, projector and pool must be above 0");
        }
        if !self.width.is_multiple_of(2 * self.heads) || !self.heads.is_multiple_of(self.kv_heads) {
            return wrong("heads must divide width into even parts, and kv_heads must divide heads");
        }
        if self.vocabulary < 300 || !(8..=4_096).contains(&self.max_tokens) || self.batch == 0 || self.look_every == 0 {
            return wrong("vocabulary must be at least 300, max_tokens 8 to 4096, batch and look_every above 0");
        }
        if !(0.0..=100.0).contains(&self.findings) {
            return wrong("findings must be 0 to 100");
        }
        let shares = [self.smoothing, self.image_dropout, self.warmup, self.balance, self.rarity];
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || self.smoothing >= 1.0 || self.image_dropout >= 1.0
        {
            return wrong("smoothing, image_dropout, warmup, balance and rarity are shares");
        }
        Ok(())
    }
}
