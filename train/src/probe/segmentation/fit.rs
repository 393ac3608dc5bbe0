//! Fits a segmentation head: AdamW under one cycle of the learning rate, the epoch kept that is best on val.

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::tensor::{Tensor, TensorData};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rad_dino_edge::checkpoint::SegmentationHead;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::decoder::{Decoder, Shape};
use super::loss::loss;
use super::tokens::Tokens;
use crate::linalg::Standard;
use crate::optim::adamw::AdamW;
use crate::optim::param_groups::{Group, decays};
use crate::optim::parameters::gradients;
use crate::random::Random;

type Inner = Flex;
type Trained = Autodiff<Inner>;

/// How a head is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Views seen at most, in passes over all of them.
    pub epochs: usize,
    /// Epochs without a better val Dice before the fit ends.
    pub patience: usize,
    /// Views a step.
    pub batch: usize,
    /// At the top of the cycle, reached after a tenth of the steps.
    pub learning_rate: f64,
    /// Decoupled.
    pub weight_decay: f64,
    /// Share of channels left out, of tokens and of hidden cells, a whole film at a time.
    pub dropout: f64,
    /// Of weights, order and dropout.
    pub seed: u64,
}

/// A fitted head.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// On raw tokens.
    pub head: SegmentationHead,
    /// Mean Dice of the val films on the head's own cells; None without val films.
    pub val_dice: Option<f64>,
    /// The epoch kept, from 1.
    pub epoch: usize,
}

/// Fits a head of `shape` on `train`, choosing the epoch on `val`. The same at any number of threads.
///
/// # Errors
/// `Data` when there is nothing to train on, or when the loss is not finite.
pub fn fit(shape: &Shape, recipe: &Recipe, train: &Tokens, val: &Tokens, quiet: bool) -> Result<Fit> {
    if train.targets.is_empty() {
        return Err(Error::new(ErrorKind::Data, "no film with a mask could be read").hint("check the column mask"));
    }
    let device = Default::default();
    let standard = train.standard(shape.dim);
    let mut random = Random::new(recipe.seed);
    let mut decoder = Decoder::<Trained>::new(shape, &mut random, &device);
    let mut optimiser = AdamW::<Inner>::new((0.9, 0.999), 1e-8);
    let steps = recipe.epochs * train.targets.len().div_ceil(recipe.batch);
    let bar = progress(steps, quiet);
    let mut best: Option<Fit> = None;
    let mut order: Vec<usize> = (0..train.targets.len()).collect();
    let mut step = 0;
    for epoch in 1..=recipe.epochs {
        (1..order.len()).rev().for_each(|i| order.swap(i, random.below(i + 1)));
        for views in order.chunks(recipe.batch) {
            let (x, target, known) = batch(shape, &standard, train, views);
            let keep = keep(shape, recipe.dropout, views.len(), &mut random);
            let value = loss(
                decoder.forward(shape, Tensor::from_inner(x), &keep),
                Tensor::from_inner(target),
                Tensor::from_inner(known),
            );
            if !value.clone().into_scalar().is_finite() {
                return Err(Error::new(
                    ErrorKind::Data,
                    format!("segmentation: the loss of step {step} is not finite"),
                )
                .hint("check the encoder's weights"));
            }
            let found = gradients(&decoder, &value.backward());
            let learning_rate = recipe.learning_rate * cycle(step, steps);
            let group = |name: &str| {
                let weight_decay = if decays(name) { recipe.weight_decay } else { 0.0 };
                Some(Group { learning_rate, weight_decay })
            };
            decoder = optimiser.step(decoder, &found, group);
            step += 1;
            bar.inc(1);
        }
        let judged = decoder.valid();
        let val_dice = dice(&judged, shape, &standard, val, recipe.batch);
        bar.set_message(val_dice.map_or_else(String::new, |d| format!("val Dice {d:.4}")));
        if best.as_ref().is_none_or(|b| val_dice.is_none() || val_dice > b.val_dice) {
            best = Some(Fit { head: judged.head(shape, &standard), val_dice, epoch });
        }
        if best.as_ref().is_some_and(|b| epoch - b.epoch >= recipe.patience) {
            break;
        }
    }
    bar.finish_and_clear();
    best.ok_or_else(|| Error::new(ErrorKind::Usage, "segmentation: a fit of no epochs"))
}

/// Tokens [N, P, D], targets and weights [N, C, s·g, s·g] of `views`; every channel has the same mask.
fn batch(
    shape: &Shape,
    standard: &Standard,
    tokens: &Tokens,
    views: &[usize],
) -> (Tensor<Inner, 3>, Tensor<Inner, 4>, Tensor<Inner, 4>) {
    let device = Default::default();
    let n = views.len();
    let mut values: Vec<f32> = views.iter().flat_map(|&view| tokens.view(view)).map(|x| x.to_f32()).collect();
    standard.apply(&mut values);
    let x = Tensor::from_data(TensorData::new(values, [n, shape.grid * shape.grid, shape.dim]), &device);
    let side = shape.scale * shape.grid;
    let of = |part: fn(&crate::data::mask::Target) -> &Vec<u8>| {
        let values = views.iter().flat_map(|&view| part(&tokens.targets[view]).iter().map(|v| f32::from(*v) / 255.0));
        Tensor::from_data(TensorData::new(values.collect::<Vec<f32>>(), [n, shape.channels, side, side]), &device)
    };
    (x, of(|t| &t.inside), of(|t| &t.known))
}

/// Factors of the channels, [N, 1, ·]: 0 or 1 / (1 − p), for the tokens of a decoder and each of its convolutions.
fn keep(shape: &Shape, p: f64, n: usize, random: &mut Random) -> Vec<Tensor<Trained, 3>> {
    if p <= 0.0 || shape.hidden == 0 {
        return Vec::new();
    }
    let widths = std::iter::once(shape.dim).chain(std::iter::repeat_n(shape.hidden, shape.convolutions));
    let kept = (1.0 / (1.0 - p)) as f32;
    let tensors = widths.map(|width| {
        let values: Vec<f32> = (0..n * width).map(|_| if random.chance(p) { 0.0 } else { kept }).collect();
        Tensor::from_data(TensorData::new(values, [n, 1, width]), &Default::default())
    });
    tensors.collect()
}

/// The share of the full rate at `step` of `steps`: up along a line for a tenth, then down along half a cosine.
fn cycle(step: usize, steps: usize) -> f64 {
    let (at, warm) = (step as f64 + 0.5, 0.1 * steps.max(1) as f64);
    if at < warm {
        return at / warm;
    }
    0.5 * (1.0 + (std::f64::consts::PI * (at - warm) / (steps as f64 - warm)).cos())
}

/// Mean Dice over views of cells cut at one half.
fn dice(decoder: &Decoder<Inner>, shape: &Shape, standard: &Standard, val: &Tokens, size: usize) -> Option<f64> {
    let all: Vec<usize> = (0..val.targets.len()).collect();
    let mut sum = 0.0;
    for views in all.chunks(size.max(1)) {
        let (x, _, _) = batch(shape, standard, val, views);
        let logits = crate::vit::linear::values(decoder.forward(shape, x, &[]));
        for (logits, view) in logits.chunks_exact(logits.len() / views.len()).zip(views) {
            let target = &val.targets[*view];
            let (mut both, mut sizes) = (0u32, 0u32);
            for ((logit, inside), known) in logits.iter().zip(&target.inside).zip(&target.known) {
                if *known > 127 {
                    let (p, t) = (u32::from(*logit > 0.0), u32::from(*inside > 127));
                    both += p * t;
                    sizes += p + t;
                }
            }
            sum += if sizes == 0 { 1.0 } else { 2.0 * f64::from(both) / f64::from(sizes) };
        }
    }
    (!all.is_empty()).then(|| sum / all.len() as f64)
}

fn progress(steps: usize, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    let style = ProgressStyle::with_template("segmentation {bar:40} {pos}/{len} steps, {eta} left {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;
    use crate::data::mask::Target;

    /// Views whose first channel says what half of a cell is inside; one row of cells is ignored and says the opposite.
    fn tokens(count: usize, grid: usize, dim: usize, scale: usize, seed: u64) -> Tokens {
        let mut random = Random::new(seed);
        let mut tokens = Tokens { stride: grid * grid * dim, ..Tokens::default() };
        let side = grid * scale;
        for _ in 0..count {
            let halves: Vec<bool> = (0..grid * grid).map(|_| random.chance(0.5)).collect();
            for half in &halves {
                let signal = if *half { 3.0 } else { -3.0 };
                tokens.values.push(f16::from_f64(signal + random.normal()));
                tokens.values.extend((1..dim).map(|_| f16::from_f64(random.normal())));
            }
            let upper = |i: usize| i / side % scale < scale / 2;
            let said = |i: usize| halves[i / side / scale * grid + i % side / scale] == upper(i);
            let ignored = |i: usize| i / side < scale;
            let inside = (0..side * side).map(|i| if said(i) != ignored(i) { 255 } else { 0 }).collect();
            let known = (0..side * side).map(|i| if ignored(i) { 0 } else { 255 }).collect();
            tokens.targets.push(Target { inside, known });
        }
        tokens
    }

    fn recipe() -> Recipe {
        Recipe { epochs: 40, patience: 40, batch: 8, learning_rate: 1e-2, weight_decay: 0.01, dropout: 0.05, seed: 3 }
    }

    #[test]
    fn learns_what_is_finer_than_a_cell_the_same_at_any_number_of_threads() {
        let (grid, dim, scale) = (4, 6, 2);
        let (train, val) = (tokens(64, grid, dim, scale, 1), tokens(16, grid, dim, scale, 2));
        let shape = Shape { dim, channels: 1, grid, scale, hidden: 12, convolutions: 1 };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit(&shape, &recipe(), &train, &val, true).unwrap())
        };
        let one = on(1);
        assert!(one.val_dice.unwrap() > 0.97, "{:?}", one.val_dice);
        assert_eq!(one, on(3));
        let linear = Shape { scale, hidden: 0, convolutions: 0, ..shape };
        let linear = fit(&linear, &recipe(), &train, &val, true).unwrap();
        assert!(linear.val_dice.unwrap() > 0.9 && linear.head.project_weight.is_empty(), "{:?}", linear.val_dice);
    }

    #[test]
    fn without_val_the_last_epoch_stays_and_without_films_there_is_none() {
        let train = tokens(16, 4, 3, 1, 1);
        let shape = Shape { dim: 3, channels: 1, grid: 4, scale: 1, hidden: 0, convolutions: 0 };
        let none = Tokens { stride: train.stride, ..Tokens::default() };
        let found = fit(&shape, &recipe(), &train, &none, true).unwrap();
        assert_eq!((found.epoch, found.val_dice), (40, None));
        assert_eq!(fit(&shape, &recipe(), &none, &train, true).unwrap_err().kind(), ErrorKind::Data);
    }

    #[test]
    fn the_rate_rises_for_a_tenth_and_falls_to_nothing() {
        assert!(cycle(0, 100) < 0.1 && cycle(10, 100) > 0.99 && cycle(99, 100) < 0.001);
        assert!((11..100).all(|step| cycle(step, 100) < cycle(step - 1, 100)));
    }
}
