//! One step: teacher, targets over the whole batch, student, clipping, AdamW, moving average.

use std::collections::BTreeSet;

use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use rad_dino_edge::{Error, ErrorKind, Result};

use super::config::{Config, Targets};
use super::metrics::Record;
use super::schedules;
use crate::data::loader::Batch;
use crate::optim::adamw::AdamW;
use crate::optim::clip::clip;
use crate::optim::param_groups::Rules;
use crate::optim::parameters::{Flat, collect, gradients, replace};
use crate::random::Random;
use crate::ssl::centering::Center;
use crate::ssl::dino_head::normalized;
use crate::ssl::meta_arch::{Losses, Objective, Outputs, Views};
use crate::ssl::sinkhorn::sinkhorn;
use crate::ssl::{Network, ema};
use crate::vit::DropPath;
use crate::vit::linear::values;

/// Networks and optimiser.
#[derive(Debug)]
pub struct Trainer<B: AutodiffBackend> {
    /// Learns by gradients.
    pub student: Network<B>,
    /// Follows.
    pub teacher: Network<B::InnerBackend>,
    /// Moments.
    pub optimizer: AdamW<B::InnerBackend>,
    /// Of CLS and patches, when targets are centred.
    pub centers: Option<[Center<B::InnerBackend>; 2]>,
    config: Config,
    rules: Rules,
    trained: BTreeSet<String>,
    device: B::Device,
}

/// Where a running mean of logits is kept in the state file.
const CENTERS: [&str; 2] = ["cls", "patches"];

impl<B: AutodiffBackend> Trainer<B> {
    /// Student and teacher both as `network`.
    pub fn new(config: &Config, mut network: Network<B>, device: &B::Device) -> Self {
        network.encoder.precision = config.train.precision;
        let teacher = network.valid();
        // a module that came from the inner backend does not ask for gradients
        let mut student = network.map(&mut Learn);
        student.encoder = student.encoder.freeze(config.train.freeze_blocks);
        let mut trained = Trained { path: Vec::new(), names: BTreeSet::new() };
        student.visit(&mut trained);
        let depth = student.encoder.blocks.len();
        let count = |head: &crate::ssl::DinoHead<B>| head.last_layer.weight_v.dims()[0];
        let center = |k: usize| Center::new(k, config.loss.center_momentum, device);
        let centers = (config.loss.targets == Targets::Centering)
            .then(|| [center(count(&student.dino_head)), center(count(student.patch_head()))]);
        Trainer {
            student,
            teacher,
            optimizer: AdamW::new((config.optimizer.betas[0], config.optimizer.betas[1]), config.optimizer.epsilon),
            centers,
            config: config.clone(),
            rules: Rules {
                depth,
                layer_decay: config.optimizer.layer_decay,
                patch_embed: config.optimizer.patch_embed,
            },
            trained: trained.names,
            device: device.clone(),
        }
    }

    /// Takes step `step` of `total` on the micro-batches of one step. What the record says of time is left at 0.
    ///
    /// # Errors
    /// Those of the encoder's forward pass.
    pub fn step(&mut self, step: usize, total: usize, batches: &[Batch]) -> Result<Record> {
        let scheduled = schedules::at(&self.config, step, total);
        let views = batches.iter().map(|batch| self.views(batch)).collect::<Result<Vec<_>>>()?;
        let taught = views.iter().map(|v| self.teacher.teach(v)).collect::<Result<Vec<_>>>()?;
        let targets = self.targets(taught, scheduled.temperature);
        let entropy = entropy(&targets);

        let parts = views.len() as f64;
        let objective = Objective {
            dino_weight: self.config.loss.dino,
            ibot_weight: self.config.loss.ibot,
            koleo_weight: self.config.loss.koleo,
            student_temperature: self.config.loss.student_temperature,
        };
        let mut summed: Flat<B::InnerBackend> = Flat::new();
        let mut record = Record { step, target_entropy: entropy, ..Record::default() };
        for (i, (views, targets)) in views.into_iter().zip(targets).enumerate() {
            let index = (step * batches.len() + i) as u64;
            let mut path = DropPath {
                rate: self.config.model.drop_path,
                random: Random::stream(self.config.train.seed ^ 0x6472_6f70, index),
            };
            let drop_path = (path.rate > 0.0).then_some(&mut path);
            let losses = self.student.learn(&lift::<B>(views), lift_outputs::<B>(targets), &objective, drop_path)?;
            let grads = losses.total.clone().div_scalar(parts).backward();
            for (name, gradient) in gradients(&self.student, &grads) {
                let sum = match summed.remove(&name) {
                    Some(sum) => sum.add(gradient),
                    None => gradient,
                };
                summed.insert(name, sum);
            }
            note(&mut record, losses, parts);
        }
        let norms = clip(&mut summed, self.config.optimizer.clip);
        record.grad_norm = norms.get("encoder").copied().unwrap_or(0.0);
        record.grad_norm_head = norms.get("dino_head").copied().unwrap_or(0.0);
        if !(record.loss.is_finite() && norms.values().all(|norm| norm.is_finite())) {
            // the watch stops the run; the networks stay as they were
            return Ok(record);
        }
        let (rules, trained) = (&self.rules, &self.trained);
        let group = |name: &str| trained.contains(name).then(|| rules.group(name, &scheduled.rates));
        self.student = self.optimizer.step(self.student.clone(), &summed, group);
        let mut student = collect(&self.student.valid());
        student.retain(|name, _| self.trained.contains(name));
        self.teacher = ema::update(self.teacher.clone(), &student, scheduled.momentum);
        record.lr = scheduled.rates.backbone;
        record.lr_heads = scheduled.rates.heads;
        record.weight_decay = scheduled.rates.weight_decay;
        record.momentum = scheduled.momentum;
        record.teacher_temperature = scheduled.temperature;
        Ok(record)
    }

    fn views(&self, batch: &Batch) -> Result<Views<B::InnerBackend>> {
        let crops = &self.config.crops;
        let (films, l) = (self.config.train.films, crops.local_count);
        let globals = [2 * films, 3, crops.global_size, crops.global_size];
        let locals = [l * films, 3, crops.local_size, crops.local_size];
        let fits = batch.globals.len() == globals.iter().product::<usize>()
            && batch.locals.len() == locals.iter().product::<usize>()
            && batch.masks.len().is_multiple_of(2 * films);
        if !fits {
            return Err(Error::new(ErrorKind::Internal, "a batch of another shape than the configuration's"));
        }
        let patches = batch.masks.len() / (2 * films);
        let mut positions: Vec<i64> = Vec::new();
        let mut weights: Vec<f32> = Vec::new();
        if self.config.loss.ibot > 0.0 {
            for (i, mask) in batch.masks.chunks_exact(patches).enumerate() {
                let hidden: Vec<usize> = (0..patches).filter(|&p| mask[p]).collect();
                weights.extend(hidden.iter().map(|_| 1.0 / hidden.len() as f32));
                positions.extend(hidden.iter().map(|p| (i * patches + p) as i64));
            }
        }
        let m = positions.len();
        let masks: Vec<f32> = batch.masks.iter().map(|&hidden| f32::from(u8::from(hidden))).collect();
        let device = &self.device;
        Ok(Views {
            globals: Tensor::from_data(TensorData::new(batch.globals.clone(), globals), device),
            locals: (l > 0).then(|| Tensor::from_data(TensorData::new(batch.locals.clone(), locals), device)),
            masks: Tensor::from_data(TensorData::new(masks, [2 * films, patches]), device),
            masked: (m > 0).then(|| {
                let positions = Tensor::<B::InnerBackend, 1, Int>::from_data(TensorData::new(positions, [m]), device);
                (positions, Tensor::from_data(TensorData::new(weights, [m, 1]), device))
            }),
            crops: l,
        })
    }

    /// Targets over all micro-batches together, then cut apart again.
    fn targets(&mut self, taught: Vec<Outputs<B::InnerBackend>>, temperature: f64) -> Vec<Outputs<B::InnerBackend>> {
        let iterations = self.config.loss.sinkhorn_iterations;
        let mut make = |which: usize, logits: Vec<Tensor<B::InnerBackend, 2>>| {
            let lengths: Vec<usize> = logits.iter().map(|l| l.dims()[0]).collect();
            if lengths.is_empty() {
                return Vec::new();
            }
            let all = Tensor::cat(logits, 0);
            let targets = match &mut self.centers {
                Some(centers) => centers[which].targets(all, temperature),
                None => sinkhorn(all, temperature, iterations),
            };
            targets.split_with_sizes(lengths, 0)
        };
        let cls = make(0, taught.iter().map(|outputs| outputs.cls.clone()).collect());
        let patches = make(1, taught.iter().filter_map(|outputs| outputs.patches.clone()).collect());
        let mut patches = patches.into_iter();
        let whole = taught.iter().map(|outputs| outputs.patches.is_some()).zip(cls);
        whole.map(|(masked, cls)| Outputs { cls, patches: if masked { patches.next() } else { None } }).collect()
    }

    /// All tensors of the run by name, for the state file.
    pub fn tensors(&self) -> Vec<(&'static str, Flat<B::InnerBackend>)> {
        let mut centers = Flat::new();
        for (name, center) in CENTERS.iter().zip(self.centers.iter().flatten()) {
            let k = center.value.dims()[1];
            centers.insert((*name).to_owned(), center.value.clone().reshape([k]));
        }
        vec![
            ("student", collect(&self.student.valid())),
            ("teacher", collect(&self.teacher)),
            ("first", self.optimizer.first.clone()),
            ("second", self.optimizer.second.clone()),
            ("center", centers),
        ]
    }

    /// Puts tensors back where [`Trainer::tensors`] took them from.
    ///
    /// # Errors
    /// `Checkpoint`, naming a tensor that is missing or of another length.
    pub fn restore(&mut self, part: impl Fn(&str) -> Flat<B::InnerBackend>) -> Result<()> {
        let (student, teacher) = (part("student"), part("teacher"));
        same("student", &collect(&self.student.valid()), &student)?;
        same("teacher", &collect(&self.teacher), &teacher)?;
        self.student = replace(self.student.clone(), |name, _| student.get(name).cloned().map(Tensor::from_inner));
        self.teacher = replace(self.teacher.clone(), |name, _| teacher.get(name).cloned());
        (self.optimizer.first, self.optimizer.second) = (part("first"), part("second"));
        let centers = part("center");
        for (name, center) in CENTERS.iter().zip(self.centers.iter_mut().flatten()) {
            let k = center.value.dims()[1];
            match centers.get(*name) {
                Some(value) if value.dims() == [k] => center.value = value.clone().reshape([1, k]),
                _ => return Err(misfit("center", name)),
            }
        }
        Ok(())
    }
}

fn same<B: Backend>(prefix: &str, wanted: &Flat<B>, found: &Flat<B>) -> Result<()> {
    for (name, tensor) in wanted {
        if found.get(name).map(Tensor::dims) != Some(tensor.dims()) {
            return Err(misfit(prefix, name));
        }
    }
    Ok(())
}

fn misfit(prefix: &str, name: &str) -> Error {
    Error::new(ErrorKind::Checkpoint, format!("state: tensor {prefix}.{name} is missing or of another length"))
        .hint("the state belongs to another configuration; start again in another folder")
}

fn lift<B: AutodiffBackend>(views: Views<B::InnerBackend>) -> Views<B> {
    Views {
        globals: Tensor::from_inner(views.globals),
        locals: views.locals.map(Tensor::from_inner),
        masks: Tensor::from_inner(views.masks),
        masked: views.masked.map(|(positions, weights)| (Tensor::from_inner(positions), Tensor::from_inner(weights))),
        crops: views.crops,
    }
}

fn lift_outputs<B: AutodiffBackend>(outputs: Outputs<B::InnerBackend>) -> Outputs<B> {
    Outputs { cls: Tensor::from_inner(outputs.cls), patches: outputs.patches.map(Tensor::from_inner) }
}

/// Adds a micro-batch's share to the record.
fn note<B: AutodiffBackend>(record: &mut Record, losses: Losses<B>, parts: f64) {
    let mean = normalized(losses.cls.inner(), 1e-12).mean_dim(0);
    let length = mean.clone().mul(mean).sum();
    let terms = [losses.local, losses.global, losses.ibot, losses.koleo, losses.total].map(Tensor::inner);
    // one transfer for all
    let all = Tensor::cat(terms.into_iter().chain([length]).collect(), 0);
    let mut values = values(all).into_iter().map(|v| f64::from(v) / parts);
    let mut next = || values.next().unwrap_or(f64::NAN);
    record.loss_dino_local += next();
    record.loss_dino_global += next();
    record.loss_ibot += next();
    record.loss_koleo += next();
    record.loss += next();
    record.spread += 1.0 / parts - next();
}

/// Mean entropy of the CLS targets, nats.
fn entropy<B: Backend>(targets: &[Outputs<B>]) -> f64 {
    let rows: f64 = targets.iter().map(|outputs| outputs.cls.dims()[0] as f64).sum();
    let part = |outputs: &Outputs<B>| {
        let t = outputs.cls.clone();
        let sum = t.clone().clamp_min(1e-30).log().mul(t).sum().neg();
        f64::from(values(sum).first().copied().unwrap_or(f32::NAN))
    };
    targets.iter().map(part).sum::<f64>() / rows.max(1.0)
}

/// Asks for every parameter's gradient.
struct Learn;

impl<B: Backend> ModuleMapper<B> for Learn {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.set_require_grad(true)
    }
}

/// Names of the parameters that learn.
struct Trained {
    path: Vec<String>,
    names: BTreeSet<String>,
}

impl<B: Backend> ModuleVisitor<B> for Trained {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if param.val().is_require_grad() {
            self.names.insert(self.path.join("."));
        }
    }
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }
    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }
}
