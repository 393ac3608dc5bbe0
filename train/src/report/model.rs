//! Projector and decoder in burn: RMSNorm, rotary positions, grouped queries, SwiGLU.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{silu, softmax};
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use crate::vit::Precision;

/// x/√(mean x² + ε)·γ over the last axis.
#[derive(Module, Debug)]
pub struct RmsNorm<B: Backend> {
    /// [D]
    pub gamma: Param<Tensor<B, 1>>,
    /// ε
    pub epsilon: f64,
}

impl<B: Backend> RmsNorm<B> {
    fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let mean = x.clone().mul(x.clone()).mean_dim(2);
        x.div(mean.add_scalar(self.epsilon).sqrt()).mul(self.gamma.val().unsqueeze())
    }
}

/// A decoder block.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    /// Before attention.
    pub norm1: RmsNorm<B>,
    /// [D, H·hd]
    pub query: Linear<B>,
    /// [D, KV·hd]
    pub key: Linear<B>,
    /// [D, KV·hd]
    pub value: Linear<B>,
    /// [H·hd, D]
    pub output: Linear<B>,
    /// Before the feed-forward layer.
    pub norm2: RmsNorm<B>,
    /// [D, F]
    pub gate: Linear<B>,
    /// [D, F]
    pub up: Linear<B>,
    /// [F, D]
    pub down: Linear<B>,
    /// H
    pub heads: usize,
    /// KV
    pub kv_heads: usize,
}

/// The tables of one length: cos and sin [1, 1, L, hd/2], mask [1, 1, H/KV·L, L].
#[derive(Clone, Debug)]
struct Positions<B: Backend> {
    cos: Tensor<B, 4>,
    sin: Tensor<B, 4>,
    mask: Tensor<B, 4>,
}

impl<B: Backend> Block<B> {
    fn forward(&self, x: Tensor<B, 3>, positions: &Positions<B>, precision: Precision) -> Tensor<B, 3> {
        let [n, l, d] = x.dims();
        let rows = self.norm1.forward(x.clone()).reshape([n * l, d]);
        let width = self.query.weight.dims()[1] / self.heads;
        let part = |layer: &Linear<B>, heads: usize| -> Tensor<B, 4> {
            precision.float(precision.linear(layer, rows.clone())).reshape([n, l, heads, width]).swap_dims(1, 2)
        };
        let group = self.heads / self.kv_heads;
        let query = rotate(part(&self.query, self.heads), positions).mul_scalar(1.0 / (width as f64).sqrt());
        // the queries that share a key stand below one another: no key is copied
        let query = precision.operand(query.reshape([n, self.kv_heads, group * l, width]));
        let key = precision.operand(rotate(part(&self.key, self.kv_heads), positions));
        let value = precision.operand(part(&self.value, self.kv_heads));
        let scores = precision.float(query.matmul(key.swap_dims(2, 3))).add(positions.mask.clone());
        let mixed = precision.operand(softmax(scores, 3)).matmul(value);
        let mixed = mixed.reshape([n, self.heads, l, width]).swap_dims(1, 2).reshape([n * l, self.heads * width]);
        let x = x.add(precision.float(precision.linear(&self.output, mixed)).reshape([n, l, d]));
        let rows = self.norm2.forward(x.clone()).reshape([n * l, d]);
        let gate = silu(precision.linear(&self.gate, rows.clone()));
        let hidden = gate.mul(precision.linear(&self.up, rows));
        x.add(precision.float(precision.linear(&self.down, hidden)).reshape([n, l, d]))
    }
}

/// The pairs (i, i + hd/2) of [N, heads, L, hd], turned.
fn rotate<B: Backend>(x: Tensor<B, 4>, positions: &Positions<B>) -> Tensor<B, 4> {
    let half = x.dims()[3] / 2;
    let (a, b) = (x.clone().narrow(3, 0, half), x.narrow(3, half, half));
    let (cos, sin) = (positions.cos.clone(), positions.sin.clone());
    let low = a.clone().mul(cos.clone()).sub(b.clone().mul(sin.clone()));
    Tensor::cat(vec![low, b.mul(cos).add(a.mul(sin))], 3)
}

/// A Llama-architecture decoder.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// [V, D]
    pub embedding: Param<Tensor<B, 2>>,
    /// In order.
    pub blocks: Vec<Block<B>>,
    /// After the last block.
    pub norm: RmsNorm<B>,
    /// [V, D]; None when it is the embedding.
    pub head: Option<Param<Tensor<B, 2>>>,
    /// [hd/2], radians a position.
    #[module(skip)]
    pub frequencies: Vec<f32>,
}

/// fc2·gelu(fc1·x)
#[derive(Module, Debug)]
pub struct Projector<B: Backend> {
    /// [E, hidden]
    pub fc1: Linear<B>,
    /// [hidden, D]
    pub fc2: Linear<B>,
}

/// Both.
#[derive(Module, Debug)]
pub struct Writer<B: Backend> {
    /// From image tokens to the decoder's width.
    pub projector: Projector<B>,
    /// Writes.
    pub decoder: Decoder<B>,
    /// Labels from the mean of the projected tokens, while training: [D, 14].
    pub findings: Option<Linear<B>>,
}

impl<B: Backend> Projector<B> {
    /// Image tokens [N, I, E] as the decoder takes them, [N, I, D].
    pub fn forward(&self, image: Tensor<B, 3>, precision: Precision) -> Tensor<B, 3> {
        let [n, i, e] = image.dims();
        let hidden = precision.linear(&self.fc1, image.reshape([n * i, e]));
        let image = precision.float(precision.linear(&self.fc2, precision.gelu(hidden)));
        let d = image.dims()[1];
        image.reshape([n, i, d])
    }
}

impl<B: Backend> Writer<B> {
    /// Logits [N, 14] of the labels, of projected tokens [N, I, D]; None without that head.
    pub fn findings(&self, image: &Tensor<B, 3>) -> Option<Tensor<B, 2>> {
        let [n, _, d] = image.dims();
        self.findings.as_ref().map(|head| head.forward(image.clone().mean_dim(1).reshape([n, d])))
    }

    /// Logits [N·T, V] of what follows each of `tokens` [N, T], after `image`, projected [N, I, D].
    pub fn forward(
        &self,
        image: Option<Tensor<B, 3>>,
        tokens: Tensor<B, 2, Int>,
        precision: Precision,
    ) -> Tensor<B, 2> {
        let [n, t] = tokens.dims();
        let [v, d] = self.decoder.embedding.dims();
        let text: Tensor<B, 3> = self.decoder.embedding.val().select(0, tokens.reshape([n * t])).reshape([n, t, d]);
        let mut x = match image {
            None => text,
            Some(image) => Tensor::cat(vec![image, text], 1),
        };
        let l = x.dims()[1];
        let positions = self.decoder.positions(l);
        for block in &self.decoder.blocks {
            x = block.forward(x, &positions, precision);
        }
        let x = self.decoder.norm.forward(x.narrow(1, l - t, t)).reshape([n * t, d]);
        let head = self.decoder.head.as_ref().unwrap_or(&self.decoder.embedding).val();
        let logits = precision.float(precision.operand(x).matmul(precision.operand(head.transpose())));
        debug_assert_eq!(logits.dims(), [n * t, v]);
        logits
    }
}

impl<B: Backend> Decoder<B> {
    fn positions(&self, l: usize) -> Positions<B> {
        let device = self.embedding.device();
        let half = self.frequencies.len();
        let angles = (0..l).flat_map(|p| self.frequencies.iter().map(move |f| f64::from(p as f32 * f)));
        let table = |values: Vec<f32>| Tensor::<B, 4>::from_data(TensorData::new(values, [1, 1, l, half]), &device);
        let group = self.blocks.first().map_or(1, |block| block.heads / block.kv_heads);
        let hidden = |i: usize| if i % l <= i / l % l { 0.0f32 } else { -1e9 };
        let mask: Vec<f32> = (0..group * l * l).map(hidden).collect();
        Positions {
            cos: table(angles.clone().map(|a| a.cos() as f32).collect()),
            sin: table(angles.map(|a| a.sin() as f32).collect()),
            mask: Tensor::from_data(TensorData::new(mask, [1, 1, group * l, l]), &device),
        }
    }
}
