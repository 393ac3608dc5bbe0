//! Teacher targets by Sinkhorn–Knopp: every prototype gets the same share of the batch.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Logits [n, K] of the whole batch, all micro-batches together, to targets [n, K] whose rows sum to 1.
///
/// Q = exp(y / τ); `iterations` times: columns (prototypes) to 1/K, rows (samples) to 1/n; at the end n·Q. One constant,
/// the largest logit, is subtracted before the exponential; it cancels exactly.
pub fn sinkhorn<B: Backend>(logits: Tensor<B, 2>, temperature: f64, iterations: usize) -> Tensor<B, 2> {
    let [n, k] = logits.dims();
    let largest: Tensor<B, 2> = logits.clone().max().unsqueeze();
    let q = logits.sub(largest).div_scalar(temperature).exp();
    let total: Tensor<B, 2> = q.clone().sum().unsqueeze();
    let mut q = q.div(total);
    for _ in 0..iterations {
        // a prototype that underflowed everywhere stays at 0 instead of 0 / 0
        let prototypes = q.clone().sum_dim(0).clamp_min(f64::from(f32::MIN_POSITIVE));
        q = q.div(prototypes.mul_scalar(k as f64));
        let samples = q.clone().sum_dim(1);
        q = q.div(samples.mul_scalar(n as f64));
    }
    q.mul_scalar(n as f64)
}
