//! Linear layers that round as the int8 file's do, with gradients that pass the rounding straight through.
//!
//! Weights: per output, to 127 steps of its largest magnitude. Inputs: per row (token), to 127 steps of its largest
//! magnitude, at least 1e-9. Ties to even; the scales count as constants. LayerScale, which the file folds into a
//! layer's outputs, changes a weight's scale and not its steps.

use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::precision::Precision;

/// Steps on either side of zero.
const STEPS: f64 = 127.0;

/// Whole steps −127 to 127 and the size of a step.
#[derive(Clone, Debug)]
pub struct Rounded<B: Backend> {
    /// The shape of what was rounded; its gradient is that of the exact quotient.
    pub steps: Tensor<B, 2>,
    /// [n, 1] or [1, n].
    pub scale: Tensor<B, 2>,
}

/// Rows of x [n, k], as the engine rounds tokens.
pub fn rows<B: Backend>(x: Tensor<B, 2>) -> Rounded<B> {
    let peak = x.clone().detach().abs().max_dim(1).clamp_min(1e-9);
    let inverse = peak.ones_like().mul_scalar(STEPS).div(peak.clone());
    let steps = straight(x.mul(inverse));
    Rounded { steps, scale: peak.div_scalar(STEPS) }
}

/// Columns of a weight [k, n], as `convert` rounds outputs; a column of (nearly) nothing has scale 1.
pub fn columns<B: Backend>(weight: Tensor<B, 2>) -> Rounded<B> {
    let scale = weight.clone().detach().abs().max_dim(0).div_scalar(STEPS);
    let empty = scale.clone().lower_elem(f32::MIN_POSITIVE);
    let scale = scale.mask_fill(empty, 1.0);
    Rounded { steps: straight(weight.div(scale.clone())), scale }
}

/// x · weight + bias in steps: the integer sums, then the row's scale, the column's, the bias. f32 [n, out].
pub fn linear<B: Backend>(layer: &Linear<B>, x: Tensor<B, 2>, precision: Precision) -> Tensor<B, 2> {
    let (x, weight) = (rows(precision.float(x)), columns(layer.weight.val()));
    let sums = precision.float(precision.operand(x.steps).matmul(precision.operand(weight.steps)));
    let product = sums.mul(x.scale).mul(weight.scale);
    match &layer.bias {
        Some(bias) => product.add(bias.val().unsqueeze()),
        None => product,
    }
}

/// The nearest integer; its derivative is 1.
fn straight<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let rounded = x.clone().detach().round();
    let exact = x.clone().detach();
    // x + (rounded − x) would leave the integers by a rounding error where the gradient needs only the first term
    rounded.add(x.sub(exact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use crate::vit::linear::{linear as layer, matrix, values};
    use burn::backend::{Autodiff, Flex};

    #[test]
    fn steps_are_integers_and_gradients_pass() {
        let device = Default::default();
        let mut random = Random::new(3);
        let mut normal = |n: usize| (0..n).map(|_| random.normal() as f32).collect::<Vec<_>>();
        let x = matrix::<Autodiff<Flex>>(&normal(5 * 24), 5, 24, &device).val().require_grad();
        let layer = layer::<Autodiff<Flex>>(&normal(24 * 7), Some(&normal(7)), 24, &device);
        let rounded = rows(x.clone());
        let steps = values(rounded.steps);
        assert!(steps.iter().all(|q| q.fract() == 0.0 && q.abs() <= 127.0));
        assert!(steps.chunks_exact(24).all(|row| row.iter().any(|q| q.abs() == 127.0)));
        let y = linear(&layer, x.clone(), Precision::Int8F32);
        let exact = Precision::F32.linear(&layer, x.clone());
        let (worst, largest) = values(y.clone().sub(exact.clone()))
            .iter()
            .zip(values(exact.clone()))
            .fold((0.0f32, 0.0f32), |(w, l), (d, e)| (w.max(d.abs()), l.max(e.abs())));
        assert!(worst > 0.0 && worst < 0.02 * largest, "{worst} of {largest}");
        // the gradient of a sum is that of the exact layer up to the rounding of the other factor
        let got = values(x.grad(&y.sum().backward()).unwrap());
        let want = values(x.grad(&exact.sum().backward()).unwrap());
        assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 0.1), "{got:?} {want:?}");
        let weight = layer.weight.val();
        let gradient = weight.grad(&linear(&layer, x, Precision::Int8F32).sum().backward()).unwrap();
        assert!(values(gradient).iter().any(|g| *g != 0.0));
    }

    #[test]
    fn empty_columns_and_rows_stay_zero() {
        let device = Default::default();
        let zero = Tensor::<Flex, 2>::zeros([3, 4], &device);
        assert_eq!(values(columns(zero.clone()).scale), [1.0; 4]);
        assert!(values(rows(zero).steps).iter().all(|q| *q == 0.0));
    }
}
