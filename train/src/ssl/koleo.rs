//! Spreads the features of a batch: Kozachenko–Leonenko entropy by nearest neighbours.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::dino_head::normalized;

const EPSILON: f64 = 1e-8;

/// −mean log(‖xᵢ − x_j(i)‖ + ε) over the L2-normalised rows of [n, D], j(i) = the most similar other row; gradients flow
/// to both. 0 for fewer than two rows.
pub fn koleo<B: Backend>(features: Tensor<B, 2>) -> Tensor<B, 1> {
    let [n, _] = features.dims();
    if n < 2 {
        return features.sum().mul_scalar(0.0);
    }
    let x = normalized(features, EPSILON);
    let fixed = x.clone().detach();
    let similarity = fixed.clone().matmul(fixed.transpose());
    // cosines are at most 1, so a row is never its own neighbour
    let diagonal = Tensor::<B, 2>::eye(n, &x.device()).mul_scalar(4.0);
    let nearest = similarity.sub(diagonal).argmax(1).reshape([n]);
    let difference = x.clone().sub(x.select(0, nearest)).add_scalar(EPSILON);
    let distance = difference.clone().mul(difference).sum_dim(1).sqrt();
    distance.add_scalar(EPSILON).log().mean().neg()
}
