//! Student and teacher, what they see, and the four terms of the loss.

use std::sync::{Mutex, PoisonError};

use burn::module::Module;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Int, Tensor};
use rad_dino_edge::Result;

use super::dino_head::DinoHead;
use super::{dino_loss, ibot_loss, koleo};
use crate::optim::parameters::{self, Flat};
use crate::vit::{DropPath, Encoder};

/// One graph at a time in a process: after a backward pass burn-autodiff 0.21 tidies up the graphs of all threads, and takes
/// the newest node of one that is being built for an orphan; its gradients are then missing.
static GRAPHS: Mutex<()> = Mutex::new(());

/// An encoder with its heads; student and teacher are one each.
#[derive(Module, Debug)]
pub struct Network<B: Backend> {
    /// The backbone, all that is kept at the end.
    pub encoder: Encoder<B>,
    /// On CLS, and on patches too unless they have their own.
    pub dino_head: DinoHead<B>,
    /// On patches.
    pub ibot_head: Option<DinoHead<B>>,
}

/// The views of b films, on the device.
#[derive(Clone, Debug)]
pub struct Views<B: Backend> {
    /// [2b, 3, S, S]: the first global crops of all films, then the second.
    pub globals: Tensor<B, 4>,
    /// [L·b, 3, s, s], crop after crop; None when L = 0.
    pub locals: Option<Tensor<B, 4>>,
    /// [2b, P], 1 = hidden from the student.
    pub masks: Tensor<B, 2>,
    /// What is hidden: positions in [2b·P], and [m, 1] = 1 / masked patches of the crop. None when nothing is.
    pub masked: Option<(Tensor<B, 1, Int>, Tensor<B, 2>)>,
    /// L.
    pub crops: usize,
}

impl<B: Backend> Views<B> {
    /// The masks, when anything is hidden.
    fn hidden(&self) -> Option<Tensor<B, 2>> {
        self.masked.is_some().then(|| self.masks.clone())
    }
}

/// Logits or targets of one micro-batch.
#[derive(Clone, Debug)]
pub struct Outputs<B: Backend> {
    /// [2b, K]
    pub cls: Tensor<B, 2>,
    /// [m, K]; None when nothing is masked.
    pub patches: Option<Tensor<B, 2>>,
}

impl<B: Backend> Outputs<B> {
    /// On another device.
    #[must_use]
    pub fn to_device(self, device: &B::Device) -> Self {
        Outputs { cls: self.cls.to_device(device), patches: self.patches.map(|patches| patches.to_device(device)) }
    }
}

/// Weights and temperature of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    /// Of L_local and L_global.
    pub dino_weight: f64,
    /// Of L_iBOT; 0 = neither masks nor patch targets.
    pub ibot_weight: f64,
    /// Of the sum of both crops' KoLeo terms.
    pub koleo_weight: f64,
    /// τ of the student.
    pub student_temperature: f64,
}

/// The terms, each a tensor of one value.
#[derive(Clone, Debug)]
pub struct Losses<B: Backend> {
    /// L_local
    pub local: Tensor<B, 1>,
    /// L_global
    pub global: Tensor<B, 1>,
    /// L_iBOT
    pub ibot: Tensor<B, 1>,
    /// Sum of both global crops' KoLeo terms, unweighted.
    pub koleo: Tensor<B, 1>,
    /// What is minimised.
    pub total: Tensor<B, 1>,
    /// The student's CLS of the global crops, [2b, D], for the watch.
    pub cls: Tensor<B, 2>,
}

impl<B: Backend> Network<B> {
    /// The head on patches.
    pub fn patch_head(&self) -> &DinoHead<B> {
        self.ibot_head.as_ref().unwrap_or(&self.dino_head)
    }

    /// The teacher's logits: it sees the global crops whole.
    ///
    /// # Errors
    /// Those of [`Encoder::forward`].
    pub fn teach(&self, views: &Views<B>) -> Result<Outputs<B>> {
        let (cls, patches) = self.encoder.split(self.encoder.forward(views.globals.clone(), None, None)?);
        Ok(Outputs { cls: self.dino_head.forward(cls), patches: self.patch_logits(patches, views) })
    }

    /// The student's losses against the teacher's targets.
    ///
    /// # Errors
    /// Those of [`Encoder::forward`].
    pub fn learn(
        &self,
        views: &Views<B>,
        targets: Outputs<B>,
        objective: &Objective,
        mut drop_path: Option<&mut DropPath>,
    ) -> Result<Losses<B>> {
        let globals = self.encoder.forward(views.globals.clone(), views.hidden(), drop_path.as_deref_mut())?;
        let locals = views.locals.clone().map(|locals| self.encoder.forward(locals, None, drop_path)).transpose()?;
        Ok(self.losses(views, targets, objective, globals, locals))
    }

    /// The losses of the student's tokens of global and local crops.
    fn losses(
        &self,
        views: &Views<B>,
        targets: Outputs<B>,
        objective: &Objective,
        globals: Tensor<B, 3>,
        locals: Option<Tensor<B, 3>>,
    ) -> Losses<B> {
        let device = views.globals.device();
        let temperature = objective.student_temperature;
        let zero = || Tensor::<B, 1>::zeros([1], &device);
        let (cls, patches) = self.encoder.split(globals);
        let logits = self.dino_head.forward(cls.clone());
        let global = dino_loss::global(targets.cls.clone(), logits, temperature, views.crops);
        let local = match locals {
            Some(locals) => {
                let (cls, _) = self.encoder.split(locals);
                dino_loss::local(targets.cls, self.dino_head.forward(cls), temperature)
            }
            None => zero(),
        };
        let ibot = match (targets.patches, self.patch_logits(patches, views), &views.masked) {
            (Some(targets), Some(logits), Some((_, weights))) => {
                ibot_loss::ibot(targets, logits, weights.clone(), temperature, cls.dims()[0])
            }
            _ => zero(),
        };
        let koleo = match objective.koleo_weight > 0.0 {
            true => {
                let crops = cls.clone().chunk(2, 0);
                crops.into_iter().map(koleo::koleo).reduce(Tensor::add).unwrap_or_else(zero)
            }
            false => zero(),
        };
        let total = local
            .clone()
            .add(global.clone())
            .mul_scalar(objective.dino_weight)
            .add(ibot.clone().mul_scalar(objective.ibot_weight))
            .add(koleo.clone().mul_scalar(objective.koleo_weight));
        Losses { local, global, ibot, koleo, total, cls }
    }

    fn patch_logits(&self, patches: Tensor<B, 3>, views: &Views<B>) -> Option<Tensor<B, 2>> {
        let (positions, _) = views.masked.as_ref()?;
        let [n, p, d] = patches.dims();
        Some(self.patch_head().forward(patches.reshape([n * p, d]).select(0, positions.clone())))
    }
}

impl<B: AutodiffBackend> Network<B> {
    /// The losses and, by parameter, the gradients of total / `parts`. With `recompute` the encoder's blocks run a
    /// second time in the backward pass, so that it holds the activations of one block and not of all; losses and
    /// gradients are the same.
    ///
    /// # Errors
    /// Those of [`Encoder::forward`].
    pub fn gradients(
        &self,
        views: &Views<B>,
        targets: Outputs<B>,
        objective: &Objective,
        mut drop_path: Option<&mut DropPath>,
        parts: f64,
        recompute: bool,
    ) -> Result<(Losses<B>, Flat<B::InnerBackend>)> {
        let _alone = GRAPHS.lock().unwrap_or_else(PoisonError::into_inner);
        if !recompute {
            let losses = self.learn(views, targets, objective, drop_path)?;
            let found = losses.total.clone().div_scalar(parts).backward();
            return Ok((losses, parameters::gradients(self, &found)));
        }
        let (globals, tape) = self.encoder.record(views.globals.clone(), views.hidden(), drop_path.as_deref_mut())?;
        let mut tapes = vec![tape];
        let mut locals = None;
        if let Some(crops) = views.locals.clone() {
            let (tokens, tape) = self.encoder.record(crops, None, drop_path)?;
            locals = Some(tokens);
            tapes.push(tape);
        }
        let losses = self.losses(views, targets, objective, globals, locals);
        let behind = losses.total.clone().div_scalar(parts).backward();
        let mut found = parameters::gradients(self, &behind);
        for tape in tapes {
            self.encoder.replay(tape, &behind, "encoder.", &mut found)?;
        }
        Ok((losses, found))
    }
}
