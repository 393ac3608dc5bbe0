//! The segmentation task: lungs on frozen patch tokens.

pub mod decoder;
pub mod fit;
pub mod loss;
pub mod tokens;
pub mod view;

use rad_dino_edge::checkpoint::Probes;
use rad_dino_edge::{Error, Result};

pub use self::decoder::{Decoder, Shape};
pub use self::fit::{Fit, Recipe, fit};
pub use self::tokens::Tokens;
use crate::data::{Dataset, Split};
use crate::evaluate::overlap;
use crate::features::Encoder;
use crate::random::Random;

/// Training films with masks that a head needs.
pub const MIN_FILMS: usize = 50;
/// Bytes of tokens kept in memory, train and val together; beyond it films are drawn by lot.
const MEMORY: usize = 1 << 30;
/// Windows of a training film, beside the whole of it.
const WINDOWS: usize = 0;
const SEED: u64 = 0x5e67_3e17;

/// Which head is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// 1×1 convolutions and three of 3×3, four logits a side of a patch.
    #[default]
    Decoder,
    /// One logit a patch, straight from its token.
    Linear,
}

impl Kind {
    /// The head on a g×g grid of tokens of width `dim`.
    pub fn shape(self, dim: usize, grid: usize) -> Shape {
        let shape = Shape { dim, channels: 1, grid, scale: 4, hidden: 64, convolutions: 3 };
        match self {
            Kind::Decoder => shape,
            Kind::Linear => Shape { scale: 1, hidden: 0, convolutions: 0, ..shape },
        }
    }

    /// How it is fitted.
    pub fn recipe(self) -> Recipe {
        let recipe = Recipe {
            epochs: 10,
            patience: 4,
            batch: 16,
            learning_rate: 3e-3,
            weight_decay: 0.05,
            dropout: 0.1,
            seed: SEED,
        };
        match self {
            Kind::Decoder => recipe,
            Kind::Linear => Recipe { weight_decay: 0.01, dropout: 0.0, ..recipe },
        }
    }
}

/// Positions of the films of `split` that have a mask.
pub fn masked(dataset: &Dataset, split: Split) -> Vec<usize> {
    dataset.of_split(split).into_iter().filter(|&row| dataset.films[row].mask.is_some()).collect()
}

/// Fits the head on the films with masks and puts it into `probes`, in place of one that is there. False when there are too
/// few; the films that failed are left in `failed`.
///
/// # Errors
/// When the encoder or the fit fails.
pub fn add(
    kind: Kind,
    encoder: &Encoder,
    dataset: &Dataset,
    probes: &mut Probes,
    notes: &mut Vec<String>,
    failed: &mut Vec<(std::path::PathBuf, Error)>,
    quiet: bool,
) -> Result<bool> {
    let grid = encoder.engine().shape().patches.isqrt();
    let shape = kind.shape(encoder.dim(), grid);
    let (mut train, mut val) = (masked(dataset, Split::Train), masked(dataset, Split::Val));
    if train.len() < MIN_FILMS {
        notes.push(format!("segmentation: {} training films with masks; a head needs {MIN_FILMS}", train.len()));
        return Ok(false);
    }
    let bytes = 2 * grid * grid * encoder.dim() + 2 * (shape.scale * grid).pow(2);
    let room = (MEMORY / bytes.max(1)).max(MIN_FILMS);
    thin(&mut val, room / 5, SEED);
    thin(&mut train, (room - val.len()) / (1 + WINDOWS), SEED + 1);
    let mut tokens = |rows: &[usize], windows: usize| -> Result<Tokens> {
        let mut tokens = Tokens::new(encoder, dataset, rows, windows, shape.scale, SEED, quiet)?;
        failed.append(&mut tokens.failed);
        Ok(tokens)
    };
    let (train_tokens, val_tokens) = (tokens(&train, WINDOWS)?, tokens(&val, 0)?);
    let fit = fit(&shape, &kind.recipe(), &train_tokens, &val_tokens, quiet)?;
    let dice = fit.val_dice.map_or_else(|| "unknown".to_owned(), |d| format!("{d:.4}"));
    notes.push(format!(
        "segmentation: {} training films in {} views, {} val films, epoch {} of {}, val Dice {dice} on {side}×{side} cells",
        train.len(),
        train_tokens.targets.len(),
        val.len(),
        fit.epoch,
        kind.recipe().epochs,
        side = shape.scale * grid,
    ));
    probes.config.heads.segmentation = vec![overlap::LABEL.to_owned()];
    probes.segmentation = Some(fit.head);
    Ok(true)
}

/// Draws `count` of `rows` by lot, in their order.
fn thin(rows: &mut Vec<usize>, count: usize, seed: u64) {
    let mut random = Random::new(seed);
    while rows.len() > count {
        rows.remove(random.below(rows.len()));
    }
}
