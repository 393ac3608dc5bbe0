//! Any network trained by gradients: sums over micro-batches, clipping, AdamW by groups.

use std::collections::{BTreeMap, BTreeSet};

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;

use super::adamw::AdamW;
use super::clip::clip;
use super::param_groups::{Rates, Rules};
use super::parameters::{Flat, add, gradients, trained_names};

/// First moments, second moments, and how many updates each parameter has had.
pub type Moments<B> = (Flat<B>, Flat<B>, BTreeMap<String, u64>);

/// Gradients and moments of one network.
#[derive(Debug)]
pub struct Learner<B: AutodiffBackend> {
    /// Moments.
    pub optimizer: AdamW<B::InnerBackend>,
    rules: Rules,
    limit: f64,
    trained: BTreeSet<String>,
    summed: Flat<B::InnerBackend>,
}

impl<B: AutodiffBackend> Learner<B> {
    /// For the parameters of `module` that learn; `limit` is the largest gradient norm of a sub-module, 0 = none.
    pub fn new<M: AutodiffModule<B>>(module: &M, rules: Rules, limit: f64) -> Self {
        let trained = trained_names(module);
        Learner { optimizer: AdamW::new((0.9, 0.999), 1e-8), rules, limit, trained, summed: Flat::new() }
    }

    /// Adds the gradients of `loss` to those of the step.
    pub fn add<M: AutodiffModule<B>>(&mut self, module: &M, loss: &Tensor<B, 1>) {
        add(&mut self.summed, "", gradients(module, &loss.backward()));
    }

    /// First moments, second moments, and how many updates each parameter has had.
    pub fn state(&self) -> Moments<B::InnerBackend> {
        let AdamW { first, second, updates, .. } = &self.optimizer;
        (first.clone(), second.clone(), updates.clone())
    }

    /// Takes over what [`Learner::state`] gave.
    pub fn restore(&mut self, (first, second, updates): Moments<B::InnerBackend>) {
        self.optimizer.first = first;
        self.optimizer.second = second;
        self.optimizer.updates = updates;
    }

    /// Takes the step and forgets its gradients; None, with the network unchanged, when they are not finite.
    #[must_use]
    pub fn step<M: AutodiffModule<B>>(&mut self, module: &M, rates: &Rates) -> Option<M> {
        let mut summed = std::mem::take(&mut self.summed);
        let norms = clip(&mut summed, self.limit);
        if !norms.values().all(|norm| norm.is_finite()) {
            return None;
        }
        let (rules, trained) = (&self.rules, &self.trained);
        let group = |name: &str| trained.contains(name).then(|| rules.group(name, rates));
        Some(self.optimizer.step(module.clone(), &summed, group))
    }
}
