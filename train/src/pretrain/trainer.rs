//! One step: teacher, targets over the whole batch, student, clipping, AdamW, moving average.

use std::collections::BTreeSet;

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use rad_dino_edge::{Error, ErrorKind, Result};

use super::config::{Config, Targets};
use super::metrics::Record;
use super::replica::{Replica, Terms};
use super::schedules;
use super::team::Team;
use crate::data::loader::Batch;
use crate::optim::adamw::AdamW;
use crate::optim::clip::clip;
use crate::optim::param_groups::Rules;
use crate::optim::parameters::{Flat, add, collect, learnable, replace, trained_names};
use crate::ssl::centering::Center;
use crate::ssl::meta_arch::Outputs;
use crate::ssl::sinkhorn::sinkhorn;
use crate::ssl::{Network, ema};
use crate::vit::linear::values;

/// Networks and optimiser.
#[derive(Debug)]
pub struct Trainer<B: AutodiffBackend> {
    /// Student and teacher on the first device.
    pub first: Replica<B>,
    /// The other devices.
    team: Team<B>,
    /// Moments.
    pub optimizer: AdamW<B::InnerBackend>,
    /// Of CLS and patches, when targets are centred.
    pub centers: Option<[Center<B::InnerBackend>; 2]>,
    config: Config,
    rules: Rules,
    trained: BTreeSet<String>,
}

/// Where a running mean of logits is kept in the state file.
const CENTERS: [&str; 2] = ["cls", "patches"];

impl<B: AutodiffBackend> Trainer<B> {
    /// Student and teacher both as `network`.
    pub fn new(config: &Config, mut network: Network<B>, device: &B::Device) -> Self {
        network.encoder.precision = config.train.precision;
        let teacher = network.valid();
        // a module that came from the inner backend does not ask for gradients
        let mut student = learnable(network);
        student.encoder = student.encoder.freeze(config.train.freeze_blocks);
        let trained = trained_names(&student);
        let depth = student.encoder.blocks.len();
        let count = |head: &crate::ssl::DinoHead<B>| head.last_layer.weight_v.dims()[0];
        let center = |k: usize| Center::new(k, config.loss.center_momentum, device);
        let centers = (config.loss.targets == Targets::Centering)
            .then(|| [center(count(&student.dino_head)), center(count(student.patch_head()))]);
        Trainer {
            first: Replica::new(config, student, teacher, device),
            team: Team::alone(),
            optimizer: AdamW::new((config.optimizer.betas[0], config.optimizer.betas[1]), config.optimizer.epsilon),
            centers,
            config: config.clone(),
            rules: Rules {
                depth,
                layer_decay: config.optimizer.layer_decay,
                patch_embed: config.optimizer.patch_embed,
            },
            trained,
        }
    }

    /// Shares every further step with `devices`, which copy what is on the first.
    ///
    /// # Errors
    /// `Internal` when a thread cannot be started.
    pub fn share(&mut self, devices: &[B::Device]) -> Result<()> {
        self.team = Team::new(&self.first, devices)?;
        Ok(())
    }

    /// Takes step `step` of `total` on the micro-batches of one step. What the record says of time is left at 0.
    ///
    /// # Errors
    /// Those of the encoder's forward pass.
    pub fn step(&mut self, step: usize, total: usize, batches: Vec<Batch>) -> Result<Record> {
        let scheduled = schedules::at(&self.config, step, total);
        let parts = batches.len() as f64;
        let taught = self.team.teach(&mut self.first, (step * batches.len()) as u64, batches)?;
        let mut targets = self.targets(taught, scheduled.temperature);
        let mut record = Record { step, target_entropy: entropy(&targets), ..Record::default() };
        let mut summed: Flat<B::InnerBackend> = Flat::new();
        while !targets.is_empty() {
            // a round: one micro-batch a device, so that no more gradients wait than there are devices
            let later = targets.split_off(self.team.devices().min(targets.len()));
            for learned in self.team.learn(&mut self.first, targets, parts)? {
                add(&mut summed, "", learned.gradients);
                note(&mut record, &learned.terms, parts);
            }
            targets = later;
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
        self.first.student = self.optimizer.step(self.first.student.clone(), &summed, group);
        let mut student = collect(&self.first.student.valid());
        student.retain(|name, _| self.trained.contains(name));
        self.team.follow(&student, scheduled.momentum)?;
        self.first.teacher = ema::update(self.first.teacher.clone(), &student, scheduled.momentum);
        record.lr = scheduled.rates.backbone;
        record.lr_heads = scheduled.rates.heads;
        record.weight_decay = scheduled.rates.weight_decay;
        record.momentum = scheduled.momentum;
        record.teacher_temperature = scheduled.temperature;
        Ok(record)
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
            ("student", collect(&self.first.student.valid())),
            ("teacher", collect(&self.first.teacher)),
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
        same("student", &collect(&self.first.student.valid()), &student)?;
        same("teacher", &collect(&self.first.teacher), &teacher)?;
        self.first.student =
            replace(self.first.student.clone(), |name, _| student.get(name).cloned().map(Tensor::from_inner));
        self.first.teacher = replace(self.first.teacher.clone(), |name, _| teacher.get(name).cloned());
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

/// Adds a micro-batch's share to the record.
fn note(record: &mut Record, terms: &Terms, parts: f64) {
    let [local, global, ibot, koleo, total] = terms.losses.map(|term| term / parts);
    record.loss_dino_local += local;
    record.loss_dino_global += global;
    record.loss_ibot += ibot;
    record.loss_koleo += koleo;
    record.loss += total;
    record.spread += 1.0 / parts - terms.alike / parts;
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
