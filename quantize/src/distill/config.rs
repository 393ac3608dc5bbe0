//! How a student is distilled: a TOML file.

use std::path::Path;

use rad_dino_edge::Result;
use rad_dino_train::config_file;
use rad_dino_train::pretrain::config::Augment;
use rad_dino_train::vit::Precision;
use serde::{Deserialize, Serialize};

/// Where the keys are explained.
const KEYS: &str = "quantize/configs/distill.toml says what each key means";

/// What runs the teacher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TeacherPrecision {
    /// Exact, slow.
    Fp32,
    /// The engine's integer kernels: CLS within cosine .998 of fp32, several times faster.
    #[default]
    Int8,
}

/// The frozen encoder and what it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teacher {
    /// What the engine computes in.
    pub precision: TeacherPrecision,
    /// Side of a view, pixels: the size the student is for.
    pub size: usize,
    /// Fixed views a film; a source's repeated films (`train.balance`) get views of their own.
    pub views: usize,
    /// Share of the film's area that a view shows, lowest and highest.
    pub scale: [f64; 2],
}

/// Where the student's weights come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The teacher's blocks: copied where widths are the same, else projected (see `project`).
    #[default]
    Teacher,
    /// Chance.
    Random,
}

/// The network that learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Student {
    /// Where its weights come from.
    pub start: Start,
    /// Views the projection is fitted on.
    pub calibration: usize,
    /// Ridge of its regressions in units of the mean variance: less follows the teacher more closely, by larger weights
    /// that cancel, which neither training nor int8 rounding forgives.
    pub ridge: f64,
}

/// Weights of the loss's terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    /// Of CLS.
    pub cls: f64,
    /// Of the patch tokens.
    pub patches: f64,
    /// 1 − cosine, inside both.
    pub cosine: f64,
    /// Smooth L1 of standardised features, inside both.
    pub smooth_l1: f64,
    /// Cosines between the films of a batch: student's CLS, without adapter, against teacher's.
    pub relation: f64,
    /// Cross-entropy on the teacher's DINO head, where its folder has one.
    pub head: f64,
    /// Temperature of the head's softmax, both sides.
    pub head_temperature: f64,
}

/// AdamW and its schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Of the encoder after warm-up.
    pub rate: f64,
    /// Of the adapters.
    pub adapter_rate: f64,
    /// Rate at the end / rate.
    pub rate_end: f64,
    /// Share of the run that warms up.
    pub warmup: f64,
    /// None on biases, norms and LayerScale.
    pub weight_decay: f64,
    /// Largest gradient norm, apart for encoder and adapters; 0 = none.
    pub clip: f64,
}

/// Rounding to int8 while it learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quantisation {
    /// Last share of the run in which linear layers round as the int8 file's; 0 = never.
    pub last: f64,
}

/// The run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Steps in all; `--max-minutes` overrides it.
    pub steps: usize,
    /// Views a micro-batch.
    pub films: usize,
    /// Micro-batches a step.
    pub accumulate: usize,
    /// Of the encoder's matrix products.
    pub precision: Precision,
    /// Rows of the manifest that are learnt from.
    pub splits: Vec<String>,
    /// How much smaller sources are repeated: each (largest / own films)^balance times.
    pub balance: f64,
    /// Of everything drawn.
    pub seed: u64,
    /// Steps between saves.
    pub save_every: usize,
}

/// Looks at val on the way: cosine to the teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Steps between two; 0 = never.
    pub every: usize,
    /// Val films, at most.
    pub films: usize,
}

/// Everything; every key has a default, an unknown key is an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The frozen encoder.
    pub teacher: Teacher,
    /// Of the views, beside the crop.
    pub augment: Augment,
    /// The network that learns.
    pub student: Student,
    /// What is minimised.
    pub loss: Loss,
    /// How.
    pub optimizer: Optimizer,
    /// Rounding.
    pub quantisation: Quantisation,
    /// How long.
    pub train: Train,
    /// Looks.
    pub watch: Watch,
}

impl Default for Teacher {
    fn default() -> Self {
        Teacher { precision: TeacherPrecision::Int8, size: 224, views: 2, scale: [0.4, 1.0] }
    }
}

impl Default for Student {
    fn default() -> Self {
        Student { start: Start::Teacher, calibration: 64, ridge: 0.01 }
    }
}

impl Default for Loss {
    fn default() -> Self {
        Loss { cls: 1.0, patches: 1.0, cosine: 1.0, smooth_l1: 1.0, relation: 1.0, head: 0.0, head_temperature: 0.1 }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer { rate: 5e-4, adapter_rate: 1e-3, rate_end: 0.01, warmup: 0.05, weight_decay: 0.02, clip: 1.0 }
    }
}

impl Default for Quantisation {
    fn default() -> Self {
        Quantisation { last: 0.25 }
    }
}

impl Default for Train {
    fn default() -> Self {
        Train {
            steps: 2000,
            films: 16,
            accumulate: 1,
            precision: Precision::F32,
            splits: vec!["train".to_owned()],
            balance: 0.5,
            seed: 0,
            save_every: 200,
        }
    }
}

impl Default for Watch {
    fn default() -> Self {
        Watch { every: 200, films: 128 }
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

    /// Parses the text of such a file.
    ///
    /// # Errors
    /// `Usage` naming the key.
    pub fn parse(text: &str) -> Result<Self> {
        config_file::parse(text, KEYS, Self::check)
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn check(&self) -> Result<()> {
        let Config { teacher, augment, student, loss, optimizer, quantisation, train, watch } = self;
        let share = |v: f64| (0.0..=1.0).contains(&v);
        let natural = |v: f64| v.is_finite() && v >= 0.0;
        let wanted = [
            ("teacher.size", (1..=4_096).contains(&teacher.size)),
            ("teacher.views", (1..=1_000).contains(&teacher.views)),
            ("teacher.scale", {
                let [low, high] = teacher.scale;
                low > 0.0 && low <= high && high <= 1.0
            }),
            ("augment.jitter_probability", share(augment.jitter_probability)),
            ("augment.jitter", share(augment.jitter)),
            ("augment.blur_probability", share(augment.blur_probability)),
            ("augment.blur_sigma", {
                let [low, high] = augment.blur_sigma;
                natural(low) && low <= high && high <= 100.0
            }),
            ("augment.flip_probability", share(augment.flip_probability)),
            ("student.calibration", (2..=4_096).contains(&student.calibration)),
            ("student.ridge", natural(student.ridge) && student.ridge > 0.0),
            ("loss.cls", natural(loss.cls)),
            ("loss.patches", natural(loss.patches)),
            ("loss.cls and loss.patches", loss.cls + loss.patches > 0.0),
            ("loss.cosine", natural(loss.cosine)),
            ("loss.smooth_l1", natural(loss.smooth_l1)),
            ("loss.relation", natural(loss.relation)),
            ("loss.head", natural(loss.head)),
            ("loss.head_temperature", natural(loss.head_temperature) && loss.head_temperature > 0.0),
            ("optimizer.rate", natural(optimizer.rate)),
            ("optimizer.adapter_rate", natural(optimizer.adapter_rate)),
            ("optimizer.rate_end", share(optimizer.rate_end)),
            ("optimizer.warmup", share(optimizer.warmup)),
            ("optimizer.weight_decay", natural(optimizer.weight_decay)),
            ("optimizer.clip", natural(optimizer.clip)),
            ("quantisation.last", share(quantisation.last)),
            ("train.steps", (1..=100_000_000).contains(&train.steps)),
            ("train.films", (1..=65_536).contains(&train.films)),
            ("train.accumulate", (1..=65_536).contains(&train.accumulate)),
            ("train.splits", {
                !train.splits.is_empty() && train.splits.iter().all(|s| ["train", "val", "test"].contains(&s.as_str()))
            }),
            ("train.balance", share(train.balance)),
            ("train.save_every", train.save_every > 0),
            ("watch.films", (1..=65_536).contains(&watch.films)),
        ];
        config_file::sensible(wanted, KEYS)
    }

    /// Views a step.
    pub fn batch(&self) -> usize {
        self.train.films * self.train.accumulate
    }
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::ErrorKind;

    use super::*;

    #[test]
    fn distill_toml_is_the_default_and_names_every_key() {
        let text = include_str!("../../configs/distill.toml");
        assert_eq!(Config::parse(text).unwrap(), Config::default());
        let named: toml::Table = toml::from_str(text).unwrap();
        let all = serde_json::to_value(Config::default()).unwrap();
        for (section, keys) in all.as_object().unwrap() {
            for key in keys.as_object().unwrap().keys() {
                assert!(named[section].get(key).is_some(), "{section}.{key} is not documented");
            }
        }
    }

    #[test]
    fn unknown_keys_wrong_types_and_nonsense_are_named() {
        Config::parse(include_str!("../../configs/distill-torch.toml")).unwrap();
        for (text, word) in [
            ("[train]\nstep = 3\n", "step"),
            ("[student]\nstart = \"somewhere\"\n", "somewhere"),
            ("[students]\n", "students"),
            ("[teacher]\nscale = [0.9, 0.1]\n", "teacher.scale"),
            ("[train]\nprecision = \"int8\"\n", "int8"),
            ("[quantisation]\nlast = 2.0\n", "quantisation.last"),
            ("[loss]\ncls = 0.0\npatches = 0.0\n", "loss.cls"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains(word), "{word}: {error}");
        }
    }
}
