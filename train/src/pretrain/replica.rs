//! What one device does in a step: its copies of student and teacher, and its share of the micro-batches.

use std::collections::VecDeque;

use burn::module::Module;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor, TensorData};
use rad_dino_edge::{Error, ErrorKind, Result};

use super::config::Config;
use crate::data::loader::Batch;
use crate::optim::parameters::{Flat, replace};
use crate::random::Random;
use crate::ssl::dino_head::normalized;
use crate::ssl::meta_arch::{Losses, Objective, Outputs, Views};
use crate::ssl::{Network, ema};
use crate::vit::DropPath;
use crate::vit::linear::values;

/// Student and teacher on a device, and the micro-batches between the teacher's pass and the student's.
#[derive(Debug)]
pub struct Replica<B: AutodiffBackend> {
    /// Learns by gradients.
    pub student: Network<B>,
    /// Follows.
    pub teacher: Network<B::InnerBackend>,
    /// Where both are.
    pub device: B::Device,
    config: Config,
    held: VecDeque<(u64, Views<B::InnerBackend>)>,
}

/// What a micro-batch adds to the step.
#[derive(Debug)]
pub struct Learned<B: Backend> {
    /// By parameter.
    pub gradients: Flat<B>,
    /// Means over the micro-batch.
    pub terms: Terms,
}

/// The terms of a micro-batch's loss, and how far its CLS tokens are from being one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// L_local, L_global, L_iBOT, KoLeo, total.
    pub losses: [f64; 5],
    /// Squared length of the mean of the normalised CLS tokens: 1 = all alike.
    pub alike: f64,
}

impl<B: AutodiffBackend> Replica<B> {
    /// Both networks as they are.
    pub fn new(config: &Config, student: Network<B>, teacher: Network<B::InnerBackend>, device: &B::Device) -> Self {
        Replica { student, teacher, device: device.clone(), config: config.clone(), held: VecDeque::new() }
    }

    /// A copy on another device, or a second one on the same.
    pub fn copy(&self, device: &B::Device) -> Self {
        let (student, teacher) = (self.student.clone().fork(device), self.teacher.clone().fork(device));
        Replica::new(&self.config, student, teacher, device)
    }

    /// The teacher's logits of micro-batches, each with its number in the run; the student's turn is next.
    ///
    /// # Errors
    /// Those of the encoder's forward pass.
    pub fn teach(&mut self, batches: Vec<(u64, Batch)>) -> Result<Vec<Outputs<B::InnerBackend>>> {
        self.held = batches.into_iter().map(|(i, batch)| Ok((i, self.views(batch)?))).collect::<Result<_>>()?;
        self.held.iter().map(|(_, views)| self.teacher.teach(views)).collect()
    }

    /// The student's losses and gradients, divided by `parts`, on the next of the micro-batches that were taught.
    ///
    /// # Errors
    /// Those of the encoder's forward pass; `Internal` when no micro-batch is left.
    pub fn learn(&mut self, targets: Outputs<B::InnerBackend>, parts: f64) -> Result<Learned<B::InnerBackend>> {
        let Config { model, loss, train, .. } = &self.config;
        let objective = Objective {
            dino_weight: loss.dino,
            ibot_weight: loss.ibot,
            koleo_weight: loss.koleo,
            student_temperature: loss.student_temperature,
        };
        let next = self.held.pop_front();
        let (index, views) = next.ok_or_else(|| Error::new(ErrorKind::Internal, "no micro-batch is left"))?;
        let random = Random::stream(train.seed ^ 0x6472_6f70, index);
        let mut path = DropPath { rate: model.drop_path, random };
        let drop_path = (path.rate > 0.0).then_some(&mut path);
        let (views, targets) = (lift::<B>(views), lift_outputs::<B>(targets, &self.device));
        let (losses, gradients) =
            self.student.gradients(&views, targets, &objective, drop_path, parts, train.recompute)?;
        Ok(Learned { gradients, terms: Terms::of(losses) })
    }

    /// Takes over the student's new parameters; the teacher follows.
    pub fn follow(&mut self, parameters: Flat<B::InnerBackend>, momentum: f64) {
        let here: Flat<B::InnerBackend> =
            parameters.into_iter().map(|(name, tensor)| (name, tensor.to_device(&self.device))).collect();
        self.student = replace(self.student.clone(), |name, _| here.get(name).cloned().map(Tensor::from_inner));
        self.teacher = ema::update(self.teacher.clone(), &here, momentum);
    }

    fn views(&self, batch: Batch) -> Result<Views<B::InnerBackend>> {
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
            globals: Tensor::from_data(TensorData::new(batch.globals, globals), device),
            locals: (l > 0).then(|| Tensor::from_data(TensorData::new(batch.locals, locals), device)),
            masks: Tensor::from_data(TensorData::new(masks, [2 * films, patches]), device),
            masked: (m > 0).then(|| {
                let positions = Tensor::<B::InnerBackend, 1, Int>::from_data(TensorData::new(positions, [m]), device);
                (positions, Tensor::from_data(TensorData::new(weights, [m, 1]), device))
            }),
            crops: l,
        })
    }
}

impl Terms {
    fn of<B: AutodiffBackend>(losses: Losses<B>) -> Self {
        let mean = normalized(losses.cls.inner(), 1e-12).mean_dim(0);
        let length = mean.clone().mul(mean).sum();
        let terms = [losses.local, losses.global, losses.ibot, losses.koleo, losses.total].map(Tensor::inner);
        // one transfer for all
        let all = values(Tensor::cat(terms.into_iter().chain([length]).collect(), 0));
        let at = |i: usize| all.get(i).map_or(f64::NAN, |v| f64::from(*v));
        Terms { losses: std::array::from_fn(at), alike: at(5) }
    }
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

fn lift_outputs<B: AutodiffBackend>(outputs: Outputs<B::InnerBackend>, device: &B::Device) -> Outputs<B> {
    let Outputs { cls, patches } = outputs.to_device(device);
    Outputs { cls: Tensor::from_inner(cls), patches: patches.map(Tensor::from_inner) }
}
