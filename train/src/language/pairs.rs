//! The loop over image–report pairs.

use std::path::Path;

use burn::module::AutodiffModule;
use burn::tensor::backend::AutodiffBackend;
use rad_dino_edge::checkpoint::EncoderWeights;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::matcher::Matcher;
use super::reports::ReportEncoder;
use crate::data::{Dataset, Split};
use crate::optim::learner::Learner;
use crate::optim::param_groups::Rules;
use crate::optim::parameters::learnable;
use crate::supervised::Config;
use crate::supervised::batch::Views;
use crate::supervised::tune::{fraction, progress, rates};
use crate::vit::Encoder;
use crate::vit::linear::values;

/// Fewest pairs that are worth a training.
const MIN_PAIRS: usize = 50;

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// The image encoder after the last step.
    pub weights: EncoderWeights,
    /// Pairs it learnt from.
    pub pairs: usize,
    /// Loss of each step.
    pub losses: Vec<f64>,
}

/// Trains `start` to find the reports of its films; a BERT folder `text` reads them, else an encoder from scratch. All of
/// `config.batch()` films are contrasted at once.
///
/// # Errors
/// `Data` when there are too few reports or the run diverges; those of the encoder.
pub fn pair<B: AutodiffBackend>(
    config: &Config,
    dataset: &Dataset,
    start: &EncoderWeights,
    text: Option<&Path>,
    preprocessing: &Preprocessing,
    limits: Limits,
    quiet: bool,
    device: &B::Device,
) -> Result<Paired> {
    config.check()?;
    let written = |i: &usize| !dataset.films[*i].row.report.trim().is_empty();
    let train: Vec<usize> = dataset.of_split(Split::Train).into_iter().filter(written).collect();
    let train = fraction(dataset, train, config.fraction);
    if train.len() < MIN_PAIRS {
        let message = format!("{} films of the train split have a report; {MIN_PAIRS} are needed", train.len());
        return Err(Error::new(ErrorKind::Data, message).hint("give --data with a report column"));
    }
    let reports = train.iter().map(|&i| dataset.films[i].row.report.as_str());
    let (reader, words) = ReportEncoder::new(text, reports, config.seed, device)?;
    let views = Views::new(config, dataset, &train, preprocessing, limits);
    let mut encoder = Encoder::<B>::from_weights(start, device)?;
    encoder.precision = config.precision;
    let depth = encoder.blocks.len();
    let mut network = learnable(Matcher::new(encoder, reader, config.seed, device));
    network.encoder = network.encoder.freeze(config.freeze_blocks);
    let rules = Rules { depth, layer_decay: config.layer_decay, patch_embed: 0.2 };
    let mut learner = Learner::<B>::new(&network, rules, config.clip);
    let bar = progress(config.steps, quiet);
    let mut losses = Vec::with_capacity(config.steps);
    for step in 0..config.steps {
        let (films, pixels) = views.batch::<B>(step as u64, config.batch(), device)?;
        let texts: Result<Vec<_>> = films.iter().map(|&f| words.encode(&dataset.films[f].row.report)).collect();
        let loss = network.loss(pixels, texts?)?;
        learner.add(&network, &loss);
        losses.push(values(loss.inner()).first().map_or(f64::NAN, |v| f64::from(*v)));
        let diverged = || Error::new(ErrorKind::Data, format!("step {step}: the run has diverged")).hint("lower rate");
        network = learner.step(&network, &rates(config, step)).ok_or_else(diverged)?;
        bar.set_message(format!("loss {:.3}", losses[step]));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Paired { weights: network.valid().encoder.to_weights(&start.config)?, pairs: train.len(), losses })
}
