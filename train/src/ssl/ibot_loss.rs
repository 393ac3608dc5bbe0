//! Masked patches: the student must name what the teacher, who sees them, makes of them.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::dino_loss::cross_entropy;

/// L_iBOT = (1/crops) Σᵢ (1/|Mᵢ|) Σ_{p ∈ Mᵢ} CE. `targets` and `logits` are [m, K] over all masked patches, `weights`
/// [m, 1] is 1/|Mᵢ| of each patch's crop; `crops` counts all global crops, those without a mask too.
pub fn ibot<B: Backend>(
    targets: Tensor<B, 2>,
    logits: Tensor<B, 2>,
    weights: Tensor<B, 2>,
    temperature: f64,
    crops: usize,
) -> Tensor<B, 1> {
    cross_entropy(targets, logits, temperature).mul(weights).sum().div_scalar(crops as f64)
}
