//! The configuration: one TOML file. Every key has a default (train/configs/default.toml lists and explains them all),
//! so a profile says only what differs; an unknown key is an error.

use std::path::Path;

use rad_dino_edge::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

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
}

/// The encoder; all but `drop_path` only matter without `--init`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Model {
    /// `vit-tiny`, `vit-small` or `vit-base`, or `vit-test` (width 32, 2 blocks).
    pub arch: String,
    /// Pixels.
    pub patch_size: usize,
    /// Side of the position table × patch_size, pixels.
    pub image_size: usize,
    /// Register tokens.
    pub registers: usize,
    /// SwiGLU in place of the MLP.
    pub swiglu: bool,
    /// Share of the samples that a branch leaves out.
    pub drop_path: f64,
}

/// Views of a film.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Crops {
    /// Side of the two global crops, pixels.
    pub global_size: usize,
    /// Share of the film's area, lowest and highest.
    pub global_scale: [f64; 2],
    /// Local crops a film.
    pub local_count: usize,
    /// Their side, pixels.
    pub local_size: usize,
    /// Share of the film's area.
    pub local_scale: [f64; 2],
}

/// Radiograph-safe augmentation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Probability of brightness and contrast.
    pub jitter_probability: f64,
    /// Factors from 1 − j to 1 + j.
    pub jitter: f64,
    /// Probability of blur.
    pub blur_probability: f64,
    /// σ in pixels, lowest and highest.
    pub blur_sigma: [f64; 2],
    /// Left-right flip.
    pub flip_probability: f64,
}

/// Masks of the global crops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mask {
    /// Share of the global crops that are masked.
    pub probability: f64,
    /// Share of their patches, lowest and highest.
    pub ratio: [f64; 2],
}

/// Where new heads start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// The checkpoint's `dino_head.safetensors` if there, else the data with `--init`, else random.
    Auto,
    /// Whitening and prototypes from the start's features.
    Features,
    /// DINOv2's initialisation.
    Random,
}

/// Projection heads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Head {
    /// Where new heads start.
    pub start: Start,
    /// K.
    pub prototypes: usize,
    /// Width that the prototypes see: of random heads.
    pub bottleneck: usize,
    /// Hidden width of random heads.
    pub hidden: usize,
    /// Linear layers of random heads.
    pub layers: usize,
    /// Width that the prototypes see: of heads from features.
    pub whitened: usize,
    /// Films whose features are whitened.
    pub films: usize,
    /// A head of its own for patches.
    pub separate: bool,
}

/// How teacher logits become targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Targets {
    /// Sinkhorn–Knopp.
    Sinkhorn,
    /// Running mean and softmax.
    Centering,
}

/// The objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Loss {
    /// Weight of the CLS loss.
    pub dino: f64,
    /// Weight of the patch loss.
    pub ibot: f64,
    /// Weight of KoLeo.
    pub koleo: f64,
    /// τ of the student.
    pub student_temperature: f64,
    /// How teacher logits become targets.
    pub targets: Targets,
    /// Of Sinkhorn–Knopp.
    pub sinkhorn_iterations: usize,
    /// Of centring.
    pub center_momentum: f64,
}

/// The teacher.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Teacher {
    /// τ at the start.
    pub temperature_start: f64,
    /// τ after the warm-up.
    pub temperature: f64,
    /// Share of the run until then.
    pub temperature_warmup: f64,
    /// Momentum at the start.
    pub momentum: f64,
    /// Momentum at the end.
    pub momentum_end: f64,
}

/// AdamW and its schedules.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Optimizer {
    /// Learning rate of the encoder after warm-up.
    pub rate: f64,
    /// Of the heads.
    pub head_rate: f64,
    /// Multiply both by √(films a step / 1024).
    pub scale_with_batch: bool,
    /// Both at the end.
    pub rate_end: f64,
    /// Share of the run that warms up.
    pub warmup: f64,
    /// Share of the run, before the warm-up, in which only heads learn.
    pub heads_only: f64,
    /// Share of the run in which prototypes are frozen.
    pub freeze_last_layer: f64,
    /// β₁, β₂
    pub betas: [f64; 2],
    /// ε
    pub epsilon: f64,
    /// Weight decay at the start.
    pub weight_decay: f64,
    /// Weight decay at the end.
    pub weight_decay_end: f64,
    /// Factor a layer downwards.
    pub layer_decay: f64,
    /// Multiplier of the patch embedding.
    pub patch_embed: f64,
    /// Largest gradient norm, apart for encoder and heads; 0 = none.
    pub clip: f64,
}

/// Which network the checkpoint folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Export {
    /// The moving average.
    Teacher,
    /// The trained one: for short runs, whose teacher lags.
    Student,
}

/// Length and batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Train {
    /// Steps in all; `--max-minutes` overrides it.
    pub steps: usize,
    /// Films a micro-batch.
    pub films: usize,
    /// Micro-batches a step.
    pub accumulate: usize,
    /// Blocks, from the first, that do not learn; with them the embeddings.
    pub freeze_blocks: usize,
    /// Rows of the manifest that are used.
    pub splits: Vec<String>,
    /// Of everything drawn.
    pub seed: u64,
    /// Steps between saves.
    pub save_every: usize,
    /// Which network the checkpoint folder holds.
    pub export: Export,
    /// Loader threads.
    pub workers: usize,
}

impl Default for Model {
    fn default() -> Self {
        let arch = "vit-small".to_owned();
        Model { arch, patch_size: 14, image_size: 224, registers: 0, swiglu: false, drop_path: 0.1 }
    }
}

impl Default for Crops {
    fn default() -> Self {
        Crops { global_size: 224, global_scale: [0.32, 1.0], local_count: 8, local_size: 98, local_scale: [0.05, 0.32] }
    }
}

impl Default for Augment {
    fn default() -> Self {
        Augment {
            jitter_probability: 0.8,
            jitter: 0.4,
            blur_probability: 0.3,
            blur_sigma: [0.3, 1.5],
            flip_probability: 0.0,
        }
    }
}

impl Default for Mask {
    fn default() -> Self {
        Mask { probability: 0.5, ratio: [0.1, 0.5] }
    }
}

impl Default for Head {
    fn default() -> Self {
        Head {
            start: Start::Auto,
            prototypes: 16_384,
            bottleneck: 256,
            hidden: 2_048,
            layers: 3,
            whitened: 64,
            films: 2_048,
            separate: false,
        }
    }
}

impl Default for Loss {
    fn default() -> Self {
        Loss {
            dino: 1.0,
            ibot: 1.0,
            koleo: 0.1,
            student_temperature: 0.1,
            targets: Targets::Sinkhorn,
            sinkhorn_iterations: 3,
            center_momentum: 0.9,
        }
    }
}

impl Default for Teacher {
    fn default() -> Self {
        Teacher {
            temperature_start: 0.04,
            temperature: 0.07,
            temperature_warmup: 0.3,
            momentum: 0.994,
            momentum_end: 1.0,
        }
    }
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer {
            rate: 2e-4,
            head_rate: 2e-4,
            scale_with_batch: true,
            rate_end: 1e-6,
            warmup: 0.1,
            heads_only: 0.0,
            freeze_last_layer: 0.01,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.04,
            weight_decay_end: 0.2,
            layer_decay: 0.9,
            patch_embed: 0.2,
            clip: 3.0,
        }
    }
}

impl Default for Train {
    fn default() -> Self {
        Train {
            steps: 125_000,
            films: 64,
            accumulate: 1,
            freeze_blocks: 0,
            splits: vec!["train".to_owned()],
            seed: 0,
            save_every: 500,
            export: Export::Teacher,
            workers: 4,
        }
    }
}

impl Config {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// `Io` when it cannot be read, `Usage` naming the line of an unknown key or wrong type, or the key of a senseless
    /// value.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Self::parse(&text).map_err(|e| e.at(path.display()))
    }

    /// Parses the text of a TOML file.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let config: Config = toml::from_str(text).map_err(|e| {
            Error::new(ErrorKind::Usage, e.to_string().trim_end().to_owned())
                .hint("train/configs/default.toml lists every key")
        })?;
        config.check()?;
        Ok(config)
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
        let Config { model, crops, augment, mask, head, loss, teacher, optimizer, train } = self;
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
            ("train.save_every", train.save_every > 0),
            ("train.workers", (1..=64).contains(&train.workers)),
        ];
        match wanted.into_iter().find(|(_, fine)| !fine) {
            Some((key, _)) => Err(Error::new(ErrorKind::Usage, format!("{key}: this value makes no sense"))
                .hint("train/configs/default.toml says what each key means")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
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
            include_str!("../../configs/vit-small-continue.toml"),
            include_str!("../../configs/cpu-continue.toml"),
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
