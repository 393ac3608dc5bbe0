//! Binary cross-entropy plus Dice loss on soft targets.

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::backend::Backend;

/// Added above and below, so that an empty mask has a Dice.
const SMOOTH: f64 = 1.0;

/// `logits`, `target` (0 to 1) and `known` (weight, 0 to 1), [N, C, h, w] all, to [1]: cross-entropy per known cell, plus
/// 1 − Dice, mean over masks.
pub fn loss<B: Backend>(logits: Tensor<B, 4>, target: Tensor<B, 4>, known: Tensor<B, 4>) -> Tensor<B, 1> {
    // max(x, 0) − x·y + ln(1 + e^−|x|)
    let magnitude = relu(logits.clone()).add(relu(logits.clone().neg()));
    let entropy = relu(logits.clone()).sub(logits.clone().mul(target.clone())).add(magnitude.neg().exp().log1p());
    let entropy = entropy.mul(known.clone()).sum().div(known.clone().sum().add_scalar(1e-6));
    let [n, c, h, w] = logits.dims();
    let flat = |x: Tensor<B, 4>| x.reshape([n * c, h * w]).sum_dim(1);
    let (inside, truth) = (sigmoid(logits).mul(known.clone()), target.mul(known));
    let both = flat(inside.clone().mul(truth.clone()));
    let dice = both.mul_scalar(2.0).add_scalar(SMOOTH).div(flat(inside).add(flat(truth)).add_scalar(SMOOTH)).mean();
    entropy.add(dice.neg().add_scalar(1.0))
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::TensorData;

    use super::*;

    fn of(logits: [f32; 4], target: [f32; 4], known: [f32; 4]) -> f64 {
        let tensor =
            |v: [f32; 4]| Tensor::<Flex, 4>::from_data(TensorData::new(v.to_vec(), [2, 1, 1, 2]), &Default::default());
        f64::from(loss(tensor(logits), tensor(target), tensor(known)).into_scalar())
    }

    #[test]
    fn is_its_definition_and_does_not_see_what_is_ignored() {
        let (logits, target) = ([2.0, -1.0, 0.5, -90.0], [1.0, 0.0, 0.25, 0.0]);
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let entropy = |x: f64, y: f64| -(y * sigmoid(x).ln() + (1.0 - y) * (1.0 - sigmoid(x)).ln());
        let dice =
            |p: [f64; 2], y: [f64; 2]| (2.0 * (p[0] * y[0] + p[1] * y[1]) + 1.0) / (p[0] + p[1] + y[0] + y[1] + 1.0);
        let (a, b, c) = (sigmoid(2.0), sigmoid(-1.0), sigmoid(0.5));
        let expected = (entropy(2.0, 1.0) + entropy(-1.0, 0.0) + entropy(0.5, 0.25)) / 4.0 + 1.0
            - 0.5 * (dice([a, b], [1.0, 0.0]) + dice([c, 0.0], [0.25, 0.0]));
        let found = of(logits, target, [1.0; 4]);
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        let ignored = of([2.0, -1.0, 0.5, 70.0], target, [1.0, 1.0, 1.0, 0.0]);
        assert_eq!(ignored, of([2.0, -1.0, 0.5, -3.0], [1.0, 0.0, 0.25, 1.0], [1.0, 1.0, 1.0, 0.0]));
    }
}
