//! A pre-trained sentence encoder (BERT: Devlin et al. 2019, section 3; pooled as sentence-transformers does: mean over
//! the words that are there).

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, Linear};
use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::vit::Precision;

/// Embeddings and blocks; LayerNorm comes after each sum.
#[derive(Module, Debug)]
pub struct Bert<B: Backend> {
    /// [words, D]
    pub words: Param<Tensor<B, 2>>,
    /// [positions, D], the type of a first sentence added.
    pub positions: Param<Tensor<B, 2>>,
    /// Over the sum of both.
    pub norm: LayerNorm<B>,
    /// In order.
    pub blocks: Vec<BertBlock<B>>,
    /// H
    pub heads: usize,
}

/// Attention and MLP.
#[derive(Module, Debug)]
pub struct BertBlock<B: Backend> {
    /// [D, D]
    pub query: Linear<B>,
    /// [D, D]
    pub key: Linear<B>,
    /// [D, D]
    pub value: Linear<B>,
    /// [D, D]
    pub output: Linear<B>,
    /// After attention and its input were added.
    pub norm1: LayerNorm<B>,
    /// [D, F]
    pub fc1: Linear<B>,
    /// [F, D]
    pub fc2: Linear<B>,
    /// After the MLP and its input were added.
    pub norm2: LayerNorm<B>,
}

impl<B: Backend> Bert<B> {
    /// D
    pub fn width(&self) -> usize {
        self.norm.gamma.dims()[0]
    }

    /// Positions that a text may have.
    pub fn length(&self) -> usize {
        self.positions.dims()[0]
    }

    /// n texts of T word numbers each, and which of them are there (1, else 0), to [n, D]. T is at most
    /// [`Bert::length`].
    pub fn forward(&self, texts: &[Vec<usize>], known: &[Vec<f32>], precision: Precision) -> Tensor<B, 2> {
        let (n, t, d) = (texts.len(), texts.first().map_or(0, Vec::len), self.width());
        let device = self.words.device();
        let numbers: Vec<i64> = texts.iter().flatten().map(|w| *w as i64).collect();
        let numbers = Tensor::<B, 1, Int>::from_data(TensorData::new(numbers, [n * t]), &device);
        let known = Tensor::<B, 1>::from_data(TensorData::new(known.concat(), [n * t]), &device);
        let words = self.words.val().select(0, numbers).reshape([n, t, d]);
        let mut x = self.norm.forward(words.add(self.positions.val().narrow(0, 0, t).unsqueeze()));
        let absent = known.clone().sub_scalar(1.0).mul_scalar(1e9).reshape([n, 1, 1, t]);
        for block in &self.blocks {
            x = block.forward(x, &absent, self.heads, precision);
        }
        let known = known.reshape([n, t, 1]);
        let count = known.clone().sum_dim(1).clamp_min(1.0);
        x.mul(known).sum_dim(1).div(count).reshape([n, d])
    }
}

impl<B: Backend> BertBlock<B> {
    /// [n, T, D] to [n, T, D]; `absent` [n, 1, 1, T] is added to the attention's scores.
    fn forward(&self, x: Tensor<B, 3>, absent: &Tensor<B, 4>, heads: usize, precision: Precision) -> Tensor<B, 3> {
        let [n, t, d] = x.dims();
        let flat = x.clone().reshape([n * t, d]);
        let part = |layer: &Linear<B>| -> Tensor<B, 4> {
            precision.linear(layer, flat.clone()).reshape([n, t, heads, d / heads]).swap_dims(1, 2)
        };
        let scores = precision.float(part(&self.query).matmul(part(&self.key).swap_dims(2, 3)));
        let scores = scores.div_scalar(((d / heads) as f64).sqrt()).add(absent.clone());
        let mixed = precision.operand(softmax(scores, 3)).matmul(part(&self.value));
        let mixed = mixed.swap_dims(1, 2).reshape([n * t, d]);
        let attended = precision.float(precision.linear(&self.output, mixed)).reshape([n, t, d]);
        let x = self.norm1.forward(x.add(attended));
        let hidden = precision.gelu(precision.linear(&self.fc1, x.clone().reshape([n * t, d])));
        let out = precision.float(precision.linear(&self.fc2, hidden)).reshape([n, t, d]);
        self.norm2.forward(x.add(out))
    }
}
