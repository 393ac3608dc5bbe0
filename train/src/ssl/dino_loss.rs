//! Cross-entropy between the teacher's view of a film and the student's other views of it.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;

/// −Σₖ tₖ · log softmax(y / τ)ₖ of every row: [n, K] and [n, K] to [n, 1].
pub fn cross_entropy<B: Backend>(targets: Tensor<B, 2>, logits: Tensor<B, 2>, temperature: f64) -> Tensor<B, 2> {
    targets.mul(log_softmax(logits.div_scalar(temperature), 1)).sum_dim(1).neg()
}

/// How many (teacher crop, student crop) pairs there are: 2 global pairs of different crops and 2 for each local crop.
pub fn terms(locals: usize) -> f64 {
    (2 + 2 * locals) as f64
}

/// L_local = (1/terms) Σₗ Σ_g mean_b CE(t_g, y_l). `targets` [2B, K] and `logits` [L·B, K] are crop after crop.
pub fn local<B: Backend>(targets: Tensor<B, 2>, logits: Tensor<B, 2>, temperature: f64) -> Tensor<B, 1> {
    let batch = targets.dims()[0] / 2;
    let locals = logits.dims()[0] / batch;
    let both = targets.clone().narrow(0, 0, batch).add(targets.narrow(0, batch, batch));
    let rows = cross_entropy(both.repeat_dim(0, locals), logits, temperature);
    rows.sum().div_scalar(batch as f64 * terms(locals))
}

/// L_global = (1/terms) Σ_g mean_b CE(t of the other global crop, y_g). Both are [2B, K], crop after crop.
pub fn global<B: Backend>(
    targets: Tensor<B, 2>,
    logits: Tensor<B, 2>,
    temperature: f64,
    locals: usize,
) -> Tensor<B, 1> {
    let batch = targets.dims()[0] / 2;
    let swapped = Tensor::cat(vec![targets.clone().narrow(0, batch, batch), targets.narrow(0, 0, batch)], 0);
    cross_entropy(swapped, logits, temperature).sum().div_scalar(batch as f64 * terms(locals))
}
