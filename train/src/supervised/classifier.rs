//! An encoder with one linear output a question.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::softplus;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::Result;

use super::truth::Column;
use crate::vit::linear::linear;
use crate::vit::{DropPath, Encoder};

/// Logits (or standardised values) from CLS ‖ mean of the patch tokens.
#[derive(Module, Debug)]
pub struct Classifier<B: Backend> {
    /// The backbone.
    pub encoder: Encoder<B>,
    /// [2D, columns]
    pub head: Linear<B>,
}

/// CLS ‖ mean patch [n, 2D] of pixels [n, 3, S, S].
///
/// # Errors
/// Those of [`Encoder::forward`].
pub fn features<B: Backend>(
    encoder: &Encoder<B>,
    pixels: Tensor<B, 4>,
    drop_path: Option<&mut DropPath>,
) -> Result<Tensor<B, 2>> {
    let (cls, patches) = encoder.split(encoder.forward(pixels, None, drop_path)?);
    let [n, d] = cls.dims();
    Ok(Tensor::cat(vec![cls, patches.mean_dim(1).reshape([n, d])], 1))
}

impl<B: Backend> Classifier<B> {
    /// With outputs that say 0 to everything at first, so that the encoder is not shaken by random gradients.
    pub fn new(encoder: Encoder<B>, columns: usize, device: &B::Device) -> Self {
        let inputs = 2 * encoder.cls_token.dims()[1];
        let head = linear(&vec![0.0; inputs * columns], Some(&vec![0.0; columns]), inputs, device);
        Classifier { encoder, head }
    }

    /// [n, 3, S, S] to [n, columns].
    ///
    /// # Errors
    /// Those of [`Encoder::forward`].
    pub fn forward(&self, pixels: Tensor<B, 4>, drop_path: Option<&mut DropPath>) -> Result<Tensor<B, 2>> {
        Ok(self.head.forward(features(&self.encoder, pixels, drop_path)?))
    }
}

/// Mean over the columns that a batch knows anything of: cross-entropy for yes or no, half the squared error for a
/// value, each the mean of the films that know. `outputs` [n, columns].
pub fn loss<B: Backend>(outputs: Tensor<B, 2>, truth: &[&Vec<Option<f32>>], columns: &[Column]) -> Tensor<B, 1> {
    let [n, k] = outputs.dims();
    let device = outputs.device();
    let mut known = vec![0usize; k];
    truth.iter().for_each(|row| row.iter().zip(&mut known).for_each(|(v, c)| *c += usize::from(v.is_some())));
    let asked = known.iter().filter(|c| **c > 0).count().max(1) as f32;
    let constant = |value: &dyn Fn(usize, Option<f32>) -> f32| {
        let all = truth.iter().flat_map(|row| row.iter().enumerate().map(|(j, v)| value(j, *v))).collect::<Vec<f32>>();
        Tensor::<B, 2>::from_data(TensorData::new(all, [n, k]), &device)
    };
    let target = constant(&|_, v| v.unwrap_or(0.0));
    let weight = |values: bool| {
        constant(&|j, v| match v {
            Some(_) if columns[j].scale.is_some() == values => 1.0 / (known[j] as f32 * asked),
            _ => 0.0,
        })
    };
    let answers = softplus(outputs.clone(), 1.0).sub(outputs.clone().mul(target.clone())).mul(weight(false));
    let difference = outputs.sub(target);
    let values = difference.clone().mul(difference).mul_scalar(0.5).mul(weight(true));
    answers.add(values).sum()
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;
    use crate::vit::linear::values;

    #[test]
    fn unknown_answers_weigh_nothing_and_columns_weigh_the_same() {
        let column = |scale| Column { name: String::new(), source: 0, scale };
        let columns = [column(None), column(Some((50.0, 10.0))), column(None)];
        let rows = [vec![Some(1.0), Some(2.0), None], vec![Some(0.0), None, None]];
        let outputs = Tensor::<Flex, 2>::from_data([[0.0, 1.0, 9.0], [1.0, 7.0, -9.0]], &Default::default());
        let got = values(loss(outputs, &rows.iter().collect::<Vec<_>>(), &columns))[0];
        let first = (2f32.ln() + (1.0 + 1f32.exp()).ln()) / 2.0;
        assert!((got - (first + 0.5) / 2.0).abs() < 1e-6, "{got}");
    }
}
