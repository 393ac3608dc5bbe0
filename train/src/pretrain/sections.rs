//! The sections of the configuration and their defaults.

use serde::{Deserialize, Serialize};

use crate::vit::Precision;

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
    /// Of the encoder's matrix products.
    pub precision: Precision,
    /// Blocks run again in the backward pass: their activations are not kept.
    pub recompute: bool,
    /// Blocks, from the first, that do not learn; with them the embeddings.
    pub freeze_blocks: usize,
    /// Rows of the manifest that are used.
    pub splits: Vec<String>,
    /// Sources whose films are used; empty = all.
    pub sources: Vec<String>,
    /// Share of the patients whose films are used.
    pub fraction: f64,
    /// How much smaller sources are repeated: each (largest / own films)^balance times.
    pub balance: f64,
    /// Of everything drawn.
    pub seed: u64,
    /// Steps between saves.
    pub save_every: usize,
    /// Which network the checkpoint folder holds.
    pub export: Export,
    /// Loader threads.
    pub workers: usize,
}

/// Probes of the student on the way: k-NN and linear, on labelled films of the manifests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Steps between two; 0 = never.
    pub every: usize,
    /// Films of each source and split, at most.
    pub films: usize,
    /// k of the k-NN vote.
    pub neighbours: usize,
}

impl Default for Watch {
    fn default() -> Self {
        Watch { every: 0, films: 500, neighbours: 20 }
    }
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
            precision: Precision::F32,
            recompute: false,
            freeze_blocks: 0,
            splits: vec!["train".to_owned()],
            sources: Vec::new(),
            fraction: 1.0,
            balance: 0.0,
            seed: 0,
            save_every: 500,
            export: Export::Teacher,
            workers: 4,
        }
    }
}
