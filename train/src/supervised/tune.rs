//! The loop: steps, looks at val, the best encoder.

use std::path::Path;

use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rad_dino_edge::checkpoint::{Checkpoint, EncoderWeights};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::batch::Views;
use super::classifier::{Classifier, loss};
use super::{Config, Truth};
use crate::data::{Dataset, Split};
use crate::metrics::auroc::auroc;
use crate::optim::learner::Learner;
use crate::optim::param_groups::{Rates, Rules};
use crate::optim::parameters::learnable;
use crate::optim::schedule::Cosine;
use crate::pretrain::device::Job;
use crate::random::{Random, mix};
use crate::vit::linear::values;
use crate::vit::{DropPath, Encoder};

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuned {
    /// The encoder of the best look.
    pub weights: EncoderWeights,
    /// Its step.
    pub step: usize,
    /// Mean over val's questions at that look: AUROC, and 1 − error / deviation for values.
    pub score: f64,
    /// The same before the first step's change.
    pub looks: Vec<(usize, f64)>,
}

/// Fine-tuning of a checkpoint folder, on whatever device.
#[derive(Clone, Copy, Debug)]
pub struct TuneJob<'a> {
    /// How.
    pub config: &'a Config,
    /// Train and val films.
    pub dataset: &'a Dataset,
    /// The folder.
    pub encoder: &'a Path,
    /// On scans.
    pub limits: Limits,
    /// No progress.
    pub quiet: bool,
}

impl Job for TuneJob<'_> {
    type Output = (Tuned, Preprocessing);

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<Self::Output> {
        let checkpoint = Checkpoint::open(self.encoder)?;
        let preprocessing = checkpoint.preprocessing().cloned().ok_or_else(|| {
            Error::new(ErrorKind::Checkpoint, format!("{}: no preprocessor_config.json", self.encoder.display()))
                .hint("put the encoder's preprocessor_config.json into the folder")
        })?;
        let start = checkpoint.encoder_weights()?;
        let tuned = tune::<B>(self.config, self.dataset, &start, &preprocessing, self.limits, self.quiet, device)?;
        Ok((tuned, preprocessing))
    }
}

/// Trains `start` on everything the train split of `dataset` knows; all tasks at once.
///
/// # Errors
/// `Data` when there is nothing to learn, val cannot judge, or the run diverges; those of the encoder.
pub fn tune<B: AutodiffBackend>(
    config: &Config,
    dataset: &Dataset,
    start: &EncoderWeights,
    preprocessing: &Preprocessing,
    limits: Limits,
    quiet: bool,
    device: &B::Device,
) -> Result<Tuned> {
    config.check()?;
    let truth = Truth::new(dataset)?;
    let train: Vec<usize> = truth.films(dataset, Split::Train);
    let train = fraction(dataset, train, config.fraction);
    let val = few(dataset, truth.films(dataset, Split::Val), config.look_films);
    let views = Views::new(config, dataset, &train, preprocessing, limits);
    let mut encoder = Encoder::<B>::from_weights(start, device)?;
    encoder.precision = config.precision;
    let depth = encoder.blocks.len();
    let mut network = learnable(Classifier::new(encoder, truth.columns.len(), device));
    network.encoder = network.encoder.freeze(config.freeze_blocks);
    let rules = Rules { depth, layer_decay: config.layer_decay, patch_embed: 0.2 };
    let mut learner = Learner::<B>::new(&network, rules, config.clip);
    let bar = progress(config.steps, quiet);
    let mut best: Option<Tuned> = None;
    let (mut looks, mut stale) = (Vec::new(), 0);
    for step in 0..config.steps {
        for i in 0..config.accumulate {
            let index = (step * config.accumulate + i) as u64;
            let (films, pixels) = views.batch::<B>(index, config.films, device)?;
            let mut path =
                DropPath { rate: config.drop_path, random: Random::stream(config.seed ^ 0x6472_6f70, index) };
            let outputs = network.forward(pixels, (path.rate > 0.0).then_some(&mut path))?;
            let rows: Vec<_> = films.iter().map(|&film| &truth.values[film]).collect();
            learner.add(&network, &loss(outputs, &rows, &truth.columns).div_scalar(config.accumulate as f64));
        }
        let diverged = || Error::new(ErrorKind::Data, format!("step {step}: the run has diverged")).hint("lower rate");
        network = learner.step(&network, &rates(config, step)).ok_or_else(diverged)?;
        bar.inc(1);
        if (step + 1) % config.look_every == 0 || step + 1 == config.steps {
            let score = look::<B>(&network, &truth, &views, &val, config.films, device)?;
            looks.push((step + 1, score));
            bar.set_message(format!("val {score:.4}"));
            stale += 1;
            if best.as_ref().is_none_or(|b| score > b.score) {
                let weights = network.valid().encoder.to_weights(&start.config)?;
                best = Some(Tuned { weights, step: step + 1, score, looks: Vec::new() });
                stale = 0;
            }
            if stale >= config.patience {
                break;
            }
        }
    }
    bar.finish_and_clear();
    let best = best.ok_or_else(|| Error::new(ErrorKind::Internal, "no look at val was taken"))?;
    Ok(Tuned { looks, ..best })
}

/// The schedules' values in a step.
pub fn rates(config: &Config, step: usize) -> Rates {
    let warmup = (config.warmup * config.steps as f64) as usize;
    let cosine = |base| Cosine { base, end: 0.0, start: 0.0, freeze: 0, warmup, total: config.steps }.at(step);
    let heads = cosine(config.head_rate);
    Rates { backbone: cosine(config.rate), heads, last_layer: heads, weight_decay: config.weight_decay }
}

/// Keeps the films of a share of the patients, the same patients for every task.
pub fn fraction(dataset: &Dataset, films: Vec<usize>, share: f64) -> Vec<usize> {
    let keep = |i: &usize| crate::data::row::patient_share(&dataset.films[*i].row.patient_id) < share;
    films.into_iter().filter(keep).collect()
}

/// At most `most` films of each source, by chance but always the same.
fn few(dataset: &Dataset, mut films: Vec<usize>, most: usize) -> Vec<usize> {
    films.sort_by_key(|&i| mix(i as u64));
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    films.retain(|&i| {
        let count = counts.entry(dataset.films[i].row.source.as_str()).or_default();
        *count += 1;
        *count <= most
    });
    films
}

/// Mean over columns of AUROC, or of 1 − mean absolute error in deviations.
fn look<B: AutodiffBackend>(
    network: &Classifier<B>,
    truth: &Truth,
    views: &Views,
    val: &[usize],
    films: usize,
    device: &B::Device,
) -> Result<f64> {
    let network = network.valid();
    let k = truth.columns.len();
    let mut seen: Vec<(usize, Vec<f32>)> = Vec::new();
    for chunk in val.chunks(films.max(1)) {
        let (films, pixels) = views.plain::<B::InnerBackend>(chunk, device)?;
        let outputs = values(network.forward(pixels, None)?);
        seen.extend(films.into_iter().zip(outputs.chunks_exact(k).map(<[f32]>::to_vec)));
    }
    let mut scores = Vec::new();
    for (j, column) in truth.columns.iter().enumerate() {
        let known = seen.iter().filter_map(|(film, out)| Some((f64::from(out[j]), f64::from(truth.values[*film][j]?))));
        let (outputs, targets): (Vec<f64>, Vec<f64>) = known.unzip();
        if column.scale.is_some() && !outputs.is_empty() {
            let error = outputs.iter().zip(&targets).map(|(a, b)| (a - b).abs()).sum::<f64>() / outputs.len() as f64;
            scores.push(1.0 - error);
        } else if let Some(area) = auroc(&outputs, &targets.iter().map(|t| *t > 0.5).collect::<Vec<_>>()) {
            scores.push(area);
        }
    }
    if scores.is_empty() {
        return Err(Error::new(ErrorKind::Data, "val has no films to judge by").hint("the manifest needs a val split"));
    }
    Ok(scores.iter().sum::<f64>() / scores.len() as f64)
}

/// A bar over steps, hidden when `quiet`.
pub fn progress(steps: usize, quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(Some(steps as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {per_sec} {msg} eta {eta}") {
        bar.set_style(style);
    }
    bar
}
