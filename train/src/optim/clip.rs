//! Clipping by global norm, apart for backbone and heads. (burn's own clipping is per tensor.)

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::param_groups::submodule;
use super::parameters::Flat;

/// Scales the gradients of each sub-module (`encoder`, `dino_head`, `ibot_head`) whose L2 norm over all its parameters
/// exceeds `limit` down to it, as PyTorch's `clip_grad_norm_` does; 0 = no limit. Returns the norms before.
pub fn clip<B: Backend>(gradients: &mut Flat<B>, limit: f64) -> BTreeMap<String, f64> {
    let mut squares: BTreeMap<String, Tensor<B, 1>> = BTreeMap::new();
    for (name, gradient) in gradients.iter() {
        let square = gradient.clone().mul(gradient.clone()).sum();
        let total = match squares.remove(submodule(name)) {
            Some(total) => total.add(square),
            None => square,
        };
        squares.insert(submodule(name).to_owned(), total);
    }
    let norm = |square: Tensor<B, 1>| square.into_data().iter::<f64>().next().unwrap_or(0.0).sqrt();
    let norms: BTreeMap<String, f64> = squares.into_iter().map(|(name, square)| (name, norm(square))).collect();
    for (name, gradient) in gradients.iter_mut() {
        let factor = norms.get(submodule(name)).map_or(1.0, |norm| limit / (norm + 1e-6));
        if limit > 0.0 && factor < 1.0 {
            *gradient = gradient.clone().mul_scalar(factor);
        }
    }
    norms
}
