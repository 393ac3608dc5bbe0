//! AdamW whose learning rate and weight decay are the parameter's own.

use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

use super::param_groups::Group;
use super::parameters::{Flat, replace};

/// Decoupled weight decay, bias-corrected moments (Loshchilov and Hutter), as PyTorch computes them.
#[derive(Clone, Debug)]
pub struct AdamW<B: Backend> {
    /// β₁, β₂
    pub betas: (f64, f64),
    /// ε, beside the root of the second moment. burn's own default of 1e-5 is not PyTorch's 1e-8.
    pub epsilon: f64,
    /// First moments by parameter.
    pub first: Flat<B>,
    /// Second moments by parameter.
    pub second: Flat<B>,
    /// Updates each parameter has had.
    pub updates: std::collections::BTreeMap<String, u64>,
}

impl<B: Backend> AdamW<B> {
    /// Without history.
    pub fn new(betas: (f64, f64), epsilon: f64) -> Self {
        AdamW { betas, epsilon, first: Flat::new(), second: Flat::new(), updates: Default::default() }
    }

    /// One update of `module` by `gradients`. `group` gives each parameter's learning rate and weight decay; None, a
    /// rate of 0 or a missing gradient leave the parameter and its moments alone.
    pub fn step<A, M>(&mut self, module: M, gradients: &Flat<B>, group: impl Fn(&str) -> Option<Group>) -> M
    where
        A: AutodiffBackend<InnerBackend = B>,
        M: AutodiffModule<A>,
    {
        replace(module, |name, value: Tensor<A, 1>| {
            let gradient = gradients.get(name)?;
            let group = group(name).filter(|group| group.learning_rate > 0.0)?;
            Some(Tensor::from_inner(self.update(name, value.inner(), gradient.clone(), group)))
        })
    }

    fn update(&mut self, name: &str, value: Tensor<B, 1>, gradient: Tensor<B, 1>, group: Group) -> Tensor<B, 1> {
        let (beta1, beta2) = self.betas;
        let count = self.updates.entry(name.to_owned()).or_default();
        *count += 1;
        let t = *count as f64;
        let square = gradient.clone().mul(gradient.clone()).mul_scalar(1.0 - beta2);
        let share = gradient.mul_scalar(1.0 - beta1);
        let first = match self.first.remove(name) {
            Some(first) => first.mul_scalar(beta1).add(share),
            None => share,
        };
        let second = match self.second.remove(name) {
            Some(second) => second.mul_scalar(beta2).add(square),
            None => square,
        };
        let root = second.clone().sqrt().div_scalar((1.0 - beta2.powf(t)).sqrt()).add_scalar(self.epsilon);
        let step = group.learning_rate / (1.0 - beta1.powf(t));
        let decayed = match group.weight_decay > 0.0 {
            true => value.mul_scalar(1.0 - group.learning_rate * group.weight_decay),
            false => value,
        };
        let updated = decayed.sub(first.clone().div(root).mul_scalar(step));
        self.first.insert(name.to_owned(), first);
        self.second.insert(name.to_owned(), second);
        updated
    }
}
