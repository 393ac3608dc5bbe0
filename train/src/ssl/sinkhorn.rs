//! Teacher targets by Sinkhorn–Knopp: every prototype gets the same share of the batch.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Logits [n, K] of the whole batch, all micro-batches together, to targets [n, K] whose rows sum to 1.
///
/// Q = exp(y / τ); `iterations` times: columns (prototypes) to 1/K, rows (samples) to 1/n; at the end n·Q. Computed on
/// logarithms, so that no temperature makes a prototype underflow.
pub fn sinkhorn<B: Backend>(logits: Tensor<B, 2>, temperature: f64, iterations: usize) -> Tensor<B, 2> {
    let [n, k] = logits.dims();
    let mut q = logits.div_scalar(temperature);
    for _ in 0..iterations {
        q = q.clone().sub(log_sum_exp(q, 0)).sub_scalar((k as f64).ln());
        q = q.clone().sub(log_sum_exp(q, 1)).sub_scalar((n as f64).ln());
    }
    q.add_scalar((n as f64).ln()).exp()
}

/// log Σ exp along `dim`, which stays with length 1.
fn log_sum_exp<B: Backend>(x: Tensor<B, 2>, dim: usize) -> Tensor<B, 2> {
    let largest = x.clone().max_dim(dim);
    x.sub(largest.clone()).exp().sum_dim(dim).log().add(largest)
}
