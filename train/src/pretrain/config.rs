//! The configuration: one TOML file. Every key has a default (train/configs/default.toml lists and explains them all),
//! so a profile says only what differs; an unknown key is an error.

use std::path::Path;

use rad_dino_edge::Result;
use serde::{Deserialize, Serialize};

use crate::config_file;

pub use super::sections::{
    Augment, Crops, Export, Head, Loss, Mask, Model, Optimizer, Start, Targets, Teacher, Train, Watch,
};

/// Where the keys are explained.
const KEYS: &str = "train/configs/default.toml lists and explains every key";

/// Everything but the data, the start and the device.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The encoder.
    pub model: Model,
    /// Views.
    pub crops: Crops,
    /// Brightness, contrast, blur.
    pub augment: Augment,
    /// What the student does not see.
    pub mask: Mask,
    /// Projection heads.
    pub head: Head,
    /// The objective.
    pub loss: Loss,
    /// Its temperature and momentum.
    pub teacher: Teacher,
    /// Rates.
    pub optimizer: Optimizer,
    /// Length, batch, what is kept.
    pub train: Train,
    /// Probes on the way.
    pub watch: Watch,
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// `Io` when it cannot be read, `Usage` naming the line of an unknown key or wrong type, or the key of a senseless
    /// value.
    pub fn read(path: &Path) -> Result<Self> {
        config_file::read(path, KEYS, Self::check)
    }

    /// Parses the text of a TOML file.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str) -> Result<Self> {
        config_file::parse(text, KEYS, Self::check)
    }

    /// Films a step.
    pub fn batch(&self) -> usize {
        self.train.films * self.train.accumulate
    }

    /// Checks every value's range.
    ///
    /// # Errors
    /// `Usage`, naming the key.
    pub fn check(&self) -> Result<()> {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let natural = |v: f64| v.is_finite() && v >= 0.0;
        let range = |[low, high]: [f64; 2]| low > 0.0 && low <= high && high <= 1.0;
        let Config { model, crops, augment, mask, head, loss, teacher, optimizer, train, watch } = self;
        let (p, side) = (model.patch_size, 1..=4_096);
        let wanted = [
            ("model.arch", super::start::architecture(&model.arch).is_some()),
            ("model.patch_size", side.contains(&p)),
            ("model.image_size", side.contains(&model.image_size) && model.image_size >= p),
            ("model.registers", model.registers <= 1_024),
            ("model.drop_path", (0.0..1.0).contains(&model.drop_path)),
            ("crops.global_size", side.contains(&crops.global_size)),
            ("crops.global_scale", range(crops.global_scale)),
            ("crops.local_size", side.contains(&crops.local_size)),
            ("crops.local_count", crops.local_count <= 64),
            ("crops.local_scale", range(crops.local_scale)),
            ("augment.jitter_probability", share(augment.jitter_probability)),
            ("augment.jitter", share(augment.jitter)),
            ("augment.blur_probability", share(augment.blur_probability)),
            ("augment.blur_sigma", {
                let [low, high] = augment.blur_sigma;
                natural(low) && low <= high && high <= 50.0
            }),
            ("augment.flip_probability", share(augment.flip_probability)),
            ("mask.probability", share(mask.probability)),
            ("mask.ratio", natural(mask.ratio[0]) && mask.ratio[0] <= mask.ratio[1] && mask.ratio[1] <= 1.0),
            ("head.prototypes", (2..=1 << 20).contains(&head.prototypes)),
            ("head.bottleneck", (1..=16_384).contains(&head.bottleneck)),
            ("head.hidden", (1..=65_536).contains(&head.hidden)),
            ("head.layers", (1..=16).contains(&head.layers)),
            ("head.whitened", (1..=16_384).contains(&head.whitened)),
            ("head.films", (2..=1 << 20).contains(&head.films)),
            ("loss.dino", natural(loss.dino)),
            ("loss.ibot", natural(loss.ibot)),
            ("loss.koleo", natural(loss.koleo)),
            ("loss.student_temperature", positive(loss.student_temperature)),
            ("loss.sinkhorn_iterations", (1..=100).contains(&loss.sinkhorn_iterations)),
            ("loss.center_momentum", share(loss.center_momentum)),
            ("teacher.temperature_start", positive(teacher.temperature_start)),
            ("teacher.temperature", positive(teacher.temperature)),
            ("teacher.temperature_warmup", share(teacher.temperature_warmup)),
            ("teacher.momentum", share(teacher.momentum)),
            ("teacher.momentum_end", share(teacher.momentum_end)),
            ("optimizer.rate", natural(optimizer.rate)),
            ("optimizer.head_rate", natural(optimizer.head_rate)),
            ("optimizer.rate_end", natural(optimizer.rate_end)),
            ("optimizer.warmup", share(optimizer.warmup)),
            ("optimizer.heads_only", share(optimizer.heads_only + optimizer.warmup)),
            ("optimizer.freeze_last_layer", share(optimizer.freeze_last_layer)),
            ("optimizer.betas", optimizer.betas.iter().all(|b| (0.0..1.0).contains(b))),
            ("optimizer.epsilon", positive(optimizer.epsilon)),
            ("optimizer.weight_decay", natural(optimizer.weight_decay)),
            ("optimizer.weight_decay_end", natural(optimizer.weight_decay_end)),
            ("optimizer.layer_decay", positive(optimizer.layer_decay) && optimizer.layer_decay <= 1.0),
            ("optimizer.patch_embed", natural(optimizer.patch_embed)),
            ("optimizer.clip", natural(optimizer.clip)),
            ("train.steps", train.steps > 0),
            ("train.films", (1..=65_536).contains(&train.films)),
            ("train.accumulate", (1..=65_536).contains(&train.accumulate)),
            ("train.splits", {
                !train.splits.is_empty() && train.splits.iter().all(|s| ["train", "val", "test"].contains(&s.as_str()))
            }),
            ("train.fraction", train.fraction > 0.0 && train.fraction <= 1.0),
            ("train.balance", share(train.balance)),
            ("train.save_every", train.save_every > 0),
            ("watch.films", watch.films > 0),
            ("watch.neighbours", (1..=10_000).contains(&watch.neighbours)),
            ("train.workers", (1..=64).contains(&train.workers)),
        ];
        config_file::sensible(wanted, KEYS)
    }
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::ErrorKind;

    use super::*;

    #[test]
    fn default_toml_is_the_default_and_names_every_key() {
        let text = include_str!("../../configs/default.toml");
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
    fn profiles_parse() {
        for text in [
            include_str!("../../configs/vit-tiny.toml"),
            include_str!("../../configs/vit-small-continue.toml"),
            include_str!("../../configs/vit-base-continue.toml"),
            include_str!("../../configs/gpu-job.toml"),
            include_str!("../../configs/cpu-continue.toml"),
            include_str!("../../configs/torch-continue.toml"),
            include_str!("../../configs/torch-again.toml"),
            include_str!("../../configs/tiny-test.toml"),
        ] {
            Config::parse(text).unwrap();
        }
    }

    #[test]
    fn unknown_keys_wrong_types_and_nonsense_are_named() {
        for (text, word) in [
            ("[train]\nstep = 3\n", "step"),
            ("[training]\nsteps = 3\n", "training"),
            ("[train]\nsteps = \"many\"\n", "steps"),
            ("[head]\nstart = \"somewhere\"\n", "somewhere"),
            ("[crops]\nlocal_scale = [0.5, 0.1]\n", "crops.local_scale"),
            ("[model]\narch = \"resnet\"\n", "model.arch"),
            ("[train]\nsplits = [\"all\"]\n", "train.splits"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains(word), "{word}: {error}");
        }
    }
}
