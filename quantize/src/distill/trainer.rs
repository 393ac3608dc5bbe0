//! One step of the student, and a look at it.

use std::collections::BTreeMap;

use burn::module::AutodiffModule;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::loader::position;
use rad_dino_train::optim::adamw::AdamW;
use rad_dino_train::optim::clip::clip;
use rad_dino_train::optim::param_groups::{Rates, Rules};
use rad_dino_train::optim::parameters::{Flat, collect, gradients, learnable, replace};
use rad_dino_train::optim::schedule::Cosine;
use rad_dino_train::vit::linear::values;
use rayon::prelude::*;

use super::config::{Config, Start};
use super::loss::{Head, Targets, Terms, cosines, loss};
use super::network::{Scales, Student};
use super::record::{Record, Report};
use super::teacher::push_grey;
use super::views::{View, Views};

/// Root mean square of a weight that learns at the full rate.
const USUAL: f64 = 0.04;
/// The smallest factor.
const SLOWEST: f64 = 0.01;

/// Student and optimiser.
#[derive(Debug)]
pub struct Trainer<B: AutodiffBackend> {
    /// What learns.
    pub student: Student<B>,
    /// Moments.
    pub optimizer: AdamW<B::InnerBackend>,
    /// Factors of the learning rate by parameter; 1 where there is none. See [`relative`].
    pub factors: BTreeMap<String, f64>,
    config: Config,
    preprocessing: Preprocessing,
    scales: Scales,
    head: Option<Head<B>>,
    device: B::Device,
}

/// Views as tensors.
struct Batch<B: Backend> {
    pixels: Tensor<B, 4>,
    targets: Targets<B>,
}

impl<B: AutodiffBackend> Trainer<B> {
    /// At step 0.
    pub fn new(
        config: &Config,
        student: Student<B::InnerBackend>,
        preprocessing: &Preprocessing,
        scales: Scales,
        head: Option<Head<B>>,
        device: &B::Device,
    ) -> Self {
        // a module that came from the inner backend does not ask for gradients
        let mut student = learnable(<Student<B> as AutodiffModule<B>>::from_inner(student));
        student.encoder.precision = config.train.precision;
        let factors = match config.student.start {
            Start::Teacher => relative(&collect(&student.valid())),
            Start::Random => BTreeMap::new(),
        };
        Trainer {
            student,
            factors,
            optimizer: AdamW::new((0.9, 0.999), 1e-8),
            config: config.clone(),
            preprocessing: preprocessing.clone(),
            scales,
            head,
            device: device.clone(),
        }
    }

    /// Takes step `step` of `total`. What the record says of time is left at 0.
    ///
    /// # Errors
    /// `Data` when the loss or a gradient is not finite; those of the views.
    pub fn step(&mut self, step: usize, total: usize, views: &Views) -> Result<Record> {
        let Config { train, optimizer, loss: weights, .. } = &self.config;
        let int8 = is_rounded(&self.config, step, total);
        self.student.encoder.precision = if int8 { train.precision.rounded() } else { train.precision };
        let mut record = Record { step, int8, ..Record::default() };
        let mut summed: Flat<B::InnerBackend> = Flat::new();
        for i in 0..train.accumulate {
            let first = ((step * train.accumulate + i) * train.films) as u64;
            let chosen: Vec<usize> =
                (0..train.films as u64).map(|b| position(views.len(), first + b, train.seed)).collect();
            let batch = self.batch::<B>(views, &chosen)?;
            let terms = loss(self.student.forward(batch.pixels)?, batch.targets, weights, self.head.as_ref());
            let parts = train.accumulate as f64;
            for (name, gradient) in gradients(&self.student, &terms.total.clone().div_scalar(parts).backward()) {
                let sum = match summed.remove(&name) {
                    Some(sum) => sum.add(gradient),
                    None => gradient,
                };
                summed.insert(name, sum);
            }
            note(&mut record, terms, parts);
        }
        let norms = clip(&mut summed, optimizer.clip);
        if !(record.loss.is_finite() && norms.values().all(|norm| norm.is_finite())) {
            return Err(
                Error::new(ErrorKind::Data, format!("step {step}: the run has diverged")).hint("lower optimizer.rate")
            );
        }
        let rates = rates(&self.config, step, total);
        let rules = Rules { depth: self.student.encoder.blocks.len(), layer_decay: 1.0, patch_embed: 1.0 };
        let factors = &self.factors;
        let group = |name: &str| {
            let mut group = rules.group(name, &rates);
            group.learning_rate *= factors.get(name).copied().unwrap_or(1.0);
            Some(group)
        };
        self.student = self.optimizer.step(self.student.clone(), &summed, group);
        record.grad_norm = norms.get("encoder").copied().unwrap_or(0.0);
        record.lr = rates.backbone;
        Ok(record)
    }

    /// Cosines to the teacher on `views`, `step` of `total` steps done.
    ///
    /// # Errors
    /// Those of the views.
    pub fn look(&self, step: usize, total: usize, views: &Views) -> Result<Report> {
        let int8 = step > 0 && is_rounded(&self.config, step - 1, total);
        let mut student = self.student.valid();
        let precision = self.config.train.precision;
        student.encoder.precision = if int8 { precision.rounded() } else { precision };
        let mut report = Report { step, int8, films: views.len(), ..Report::default() };
        let all: Vec<usize> = (0..views.len()).collect();
        for chosen in all.chunks(self.config.train.films) {
            let batch = self.batch::<B::InnerBackend>(views, chosen)?;
            let found = student.forward(batch.pixels)?;
            let share = chosen.len() as f64 / views.len() as f64;
            for (x, y, scale, raw, standardised) in [
                (found.cls, batch.targets.cls, &self.scales.cls, &mut report.cls, &mut report.cls_standardised),
                (
                    found.patches,
                    batch.targets.patches,
                    &self.scales.patches,
                    &mut report.patches,
                    &mut report.patches_standardised,
                ),
            ] {
                let d = scale.mean.len();
                let row = |values: &[f32]| {
                    Tensor::<B::InnerBackend, 2>::from_data(TensorData::new(values.to_vec(), [1, d]), &self.device)
                };
                let (mean, deviation) = (row(&scale.mean), row(&scale.deviation));
                let undo = |x: &Tensor<B::InnerBackend, 2>| x.clone().mul(deviation.clone()).add(mean.clone());
                *raw += share * mean_of(cosines(undo(&x), undo(&y)));
                *standardised += share * mean_of(cosines(x, y));
            }
        }
        Ok(report)
    }

    fn batch<A: Backend<Device = B::Device>>(&self, views: &Views, chosen: &[usize]) -> Result<Batch<A>> {
        let read = chosen.par_iter().map(|&i| {
            let View { grey, mut tokens } = views.get(i)?;
            let (cls, patches) = tokens.split_at_mut(views.layout.dim);
            self.scales.cls.apply(cls);
            self.scales.patches.apply(patches);
            let mut pixels = Vec::with_capacity(3 * grey.len());
            push_grey(&grey, &self.preprocessing, &mut pixels);
            Ok((pixels, tokens))
        });
        let read: Vec<(Vec<f32>, Vec<f32>)> = read.collect::<Result<_>>()?;
        let (n, side, d, p) = (read.len(), views.layout.side, views.layout.dim, views.layout.patches);
        let (mut pixels, mut cls, mut patches) = (Vec::new(), Vec::new(), Vec::new());
        for (view, tokens) in read {
            pixels.extend(view);
            cls.extend_from_slice(&tokens[..d]);
            patches.extend_from_slice(&tokens[d..]);
        }
        let device = &self.device;
        Ok(Batch {
            pixels: Tensor::from_data(TensorData::new(pixels, [n, 3, side, side]), device),
            targets: Targets {
                cls: Tensor::from_data(TensorData::new(cls, [n, d]), device),
                patches: Tensor::from_data(TensorData::new(patches, [n * p, d]), device),
            },
        })
    }

    /// All tensors of the run by name, for the state file.
    pub fn tensors(&self) -> [(&'static str, Flat<B::InnerBackend>); 3] {
        [
            ("student", collect(&self.student.valid())),
            ("first", self.optimizer.first.clone()),
            ("second", self.optimizer.second.clone()),
        ]
    }

    /// Puts tensors back where [`Trainer::tensors`] took them from.
    ///
    /// # Errors
    /// `Checkpoint`, naming a tensor that is missing or of another length.
    pub fn restore(&mut self, part: impl Fn(&str) -> Flat<B::InnerBackend>) -> Result<()> {
        let found = part("student");
        for (name, tensor) in collect(&self.student.valid()) {
            if found.get(&name).map(Tensor::dims) != Some(tensor.dims()) {
                let message = format!("state: tensor student.{name} is missing or of another length");
                return Err(Error::new(ErrorKind::Checkpoint, message)
                    .hint("the state belongs to another student; start again in another folder"));
            }
        }
        self.student = replace(self.student.clone(), |name, _| found.get(name).cloned().map(Tensor::from_inner));
        (self.optimizer.first, self.optimizer.second) = (part("first"), part("second"));
        Ok(())
    }
}

/// Tensors of the encoder that start smaller than usual learn slower by as much: Adam's steps are of one size, and a
/// projected block has LayerScale multiplied into its weights, whose size is anything.
fn relative<B: Backend>(parameters: &Flat<B>) -> BTreeMap<String, f64> {
    let factor = |tensor: &Tensor<B, 1>| {
        let square = f64::from(values(tensor.clone().mul(tensor.clone()).mean()).first().copied().unwrap_or(0.0));
        (square.sqrt() / USUAL).clamp(SLOWEST, 1.0)
    };
    let encoder = parameters.iter().filter(|(name, _)| name.starts_with("encoder."));
    encoder.map(|(name, tensor)| (name.clone(), factor(tensor))).collect()
}

/// Whether linear layers round to int8 in `step` of `total`.
pub fn is_rounded(config: &Config, step: usize, total: usize) -> bool {
    step as f64 >= (1.0 - config.quantisation.last) * total as f64
}

/// The schedules' values in a step.
pub fn rates(config: &Config, step: usize, total: usize) -> Rates {
    let optimizer = &config.optimizer;
    let warmup = (optimizer.warmup * total as f64) as usize;
    let cosine = |base: f64| {
        Cosine { base, end: base * optimizer.rate_end, start: base / 100.0, freeze: 0, warmup, total }.at(step)
    };
    let heads = cosine(optimizer.adapter_rate);
    Rates { backbone: cosine(optimizer.rate), heads, last_layer: heads, weight_decay: optimizer.weight_decay }
}

fn mean_of<B: Backend>(x: Tensor<B, 2>) -> f64 {
    f64::from(values(x.mean()).first().copied().unwrap_or(f32::NAN))
}

/// Adds a micro-batch's share to the record.
fn note<B: AutodiffBackend>(record: &mut Record, terms: Terms<B>, parts: f64) {
    let Terms { cls_cosine, cls_l1, patch_cosine, patch_l1, relation, head, total } = terms;
    let all = [cls_cosine, cls_l1, patch_cosine, patch_l1, relation, head, total].map(Tensor::inner);
    // one transfer for all
    let values = values(Tensor::cat(all.to_vec(), 0));
    let places = [
        &mut record.loss_cls_cosine,
        &mut record.loss_cls_l1,
        &mut record.loss_patch_cosine,
        &mut record.loss_patch_l1,
        &mut record.loss_relation,
        &mut record.loss_head,
        &mut record.loss,
    ];
    for (place, value) in places.into_iter().zip(values) {
        *place += f64::from(value) / parts;
    }
}
