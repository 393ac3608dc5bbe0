//! A narrower student made of the teacher's own blocks, fitted in closed form.
//!
//! The student's residual stream is the teacher's in the directions that its tokens use most ([`super::basis`]). Block
//! by block, on the same views:
//! 1. What the teacher's LayerNorm gives is regressed on what the student's gives; the teacher's query, key, value and
//!    fc1 read from that.
//! 2. Of the heads those are kept that together explain most of the attention's contribution (greedily); of the hidden
//!    units those whose activation varies most, times the length of what they write.
//! 3. The layers that write into the stream are regressed on the kept heads or units, their target being what the
//!    student's stream lacks to be the teacher's. So each block also mends what the ones before it lost.

use burn::nn::Linear;
use burn::tensor::activation::softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use rad_dino_edge::checkpoint::{BlockWeights, Config as Shape, EncoderWeights, FeedForward};
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::vit::Encoder;
use rad_dino_train::vit::block::Block;
use rad_dino_train::vit::gelu::gelu;
use rad_dino_train::vit::linear::{layer_norm, transposed, values};
use rad_dino_train::vit::mlp::FeedForward as Layers;

use super::basis::Moments;
use super::least_squares::{Fit, doubles, fit, ridge, solve};

/// Share of all weight that CLS has among the tokens of a view.
const CLS_SHARE: f64 = 0.2;

/// The student's weights, and how much of the teacher's stream they keep (share of the squares).
#[derive(Clone, Debug)]
pub struct Projected {
    /// Weights of the student's shape.
    pub weights: EncoderWeights,
    /// From 0 to 1.
    pub kept: f64,
}

/// Fits a student of `shape` to `teacher` on `pixels` [n, 3, S, S].
///
/// # Errors
/// `Usage` when the shapes do not allow it (see [`possible`]); `Data` when the views are too few or all alike.
pub fn project<B: Backend>(
    teacher: &EncoderWeights,
    shape: &Shape,
    pixels: Tensor<B, 4>,
    ridge: f64,
    device: &B::Device,
) -> Result<Projected> {
    possible(&teacher.config, shape)?;
    let encoder = Encoder::<B>::from_weights(teacher, device)?;
    let start = encoder.embed(pixels, None)?;
    let [n, t, wide] = start.dims();
    let site = Site::<B> { n, t, weight: token_weights(n, t, device), ridge, epsilon: teacher.config.layer_norm_eps };
    let mut moments = Moments::new(wide);
    let mut x = flat(start.clone());
    for block in &encoder.blocks {
        moments.add(&site.normed(&x), &site.weight);
        x = x.clone().add(site.attend(block, &x).1);
        moments.add(&site.normed(&x), &site.weight);
        x = x.clone().add(site.feed(block, &x).1);
    }
    moments.add(&site.normed(&x), &site.weight);
    let (map, kept) = moments.basis::<B>(shape.hidden_size, device);

    let mut x = flat(start);
    let mut own = x.clone().matmul(map.clone());
    let mut blocks = Vec::new();
    for block in &encoder.blocks {
        let mut made = Made::<B>::new(shape, &site);
        (x, own) = made.attention(block, x, own, &map)?;
        (x, own) = made.feed_forward(block, x, own, &map)?;
        blocks.push(made.weights);
    }
    let narrow = |rows: &[f32]| narrowed(rows, &map, device);
    let d = shape.hidden_size;
    let patch = transposed(&teacher.patch_weight, wide, teacher.patch_weight.len() / wide);
    let weights = EncoderWeights {
        config: shape.clone(),
        cls_token: narrow(&teacher.cls_token),
        mask_token: narrow(&teacher.mask_token),
        register_tokens: narrow(&teacher.register_tokens),
        position_embeddings: narrow(&teacher.position_embeddings),
        patch_weight: transposed(&narrow(&patch), patch.len() / wide, d),
        patch_bias: narrow(&teacher.patch_bias),
        blocks,
        norm_weight: vec![1.0; d],
        norm_bias: vec![0.0; d],
    };
    weights.check()?;
    Ok(Projected { weights, kept })
}

/// Whether a student of `shape` can be made of `teacher`'s blocks.
///
/// # Errors
/// `Usage`, saying what differs.
pub fn possible(teacher: &Shape, shape: &Shape) -> Result<()> {
    let head = |c: &Shape| c.hidden_size / c.num_attention_heads.max(1);
    let fine = [
        ("blocks", teacher.num_hidden_layers == shape.num_hidden_layers),
        ("width of a head", head(teacher) == head(shape)),
        ("kind of feed-forward layer", !teacher.use_swiglu_ffn && !shape.use_swiglu_ffn),
        ("patch side", teacher.patch_size == shape.patch_size),
        ("registers", teacher.num_register_tokens == shape.num_register_tokens),
        ("width: the student's must not be the larger", {
            shape.hidden_size <= teacher.hidden_size && shape.mlp_dim() <= teacher.mlp_dim()
        }),
    ];
    match fine.into_iter().find(|(_, same)| !same) {
        Some((what, _)) => {
            let message = format!("the student cannot start from the teacher's blocks, they differ in {what}");
            Err(Error::new(ErrorKind::Usage, message).hint("student.start = \"random\" starts from nothing"))
        }
        None => Ok(()),
    }
}

/// The tokens that everything is fitted on.
struct Site<B: Backend> {
    n: usize,
    t: usize,
    /// [n·t, 1]
    weight: Tensor<B, 2>,
    ridge: f64,
    epsilon: f64,
}

impl<B: Backend> Site<B> {
    /// LayerNorm without weights.
    fn normed(&self, x: &Tensor<B, 2>) -> Tensor<B, 2> {
        let d = x.dims()[1];
        layer_norm(&vec![1.0; d], &vec![0.0; d], self.epsilon, &x.device()).forward(x.clone())
    }

    /// What all heads of a block give [n·t, D], and what the branch adds to the stream.
    fn attend(&self, block: &Block<B>, x: &Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let qkv = block.attention.qkv.forward(block.norm1.forward(x.clone()));
        let mixed = self.mixed(qkv, block.attention.heads);
        let added = block.attention.output.forward(mixed.clone());
        (mixed, added.mul(block.layer_scale1.lambda.val().unsqueeze()))
    }

    /// softmax(q·kᵀ/√w)·v of each head, side by side; `qkv` [n·t, 3·D].
    fn mixed(&self, qkv: Tensor<B, 2>, heads: usize) -> Tensor<B, 2> {
        let (n, t) = (self.n, self.t);
        let d = qkv.dims()[1] / 3;
        let width = d / heads;
        let part = |i: usize| -> Tensor<B, 4> {
            qkv.clone().narrow(1, i * d, d).reshape([n, t, heads, width]).swap_dims(1, 2)
        };
        let scores = part(0).mul_scalar(1.0 / (width as f64).sqrt()).matmul(part(1).swap_dims(2, 3));
        softmax(scores, 3).matmul(part(2)).swap_dims(1, 2).reshape([n * t, d])
    }

    /// The hidden units of a block [n·t, F], and what the branch adds to the stream.
    fn feed(&self, block: &Block<B>, x: &Tensor<B, 2>) -> (Tensor<B, 2>, Tensor<B, 2>) {
        let x = block.norm2.forward(x.clone());
        let (hidden, added) = match &block.feed_forward {
            Layers::Mlp(mlp) => {
                let hidden = gelu(mlp.fc1.forward(x));
                (hidden.clone(), mlp.fc2.forward(hidden))
            }
            Layers::SwiGlu(_) => unreachable!("refused by `possible`"),
        };
        (hidden, added.mul(block.layer_scale2.lambda.val().unsqueeze()))
    }
}

/// A block of the student while it is made.
struct Made<'a, B: Backend> {
    shape: &'a Shape,
    site: &'a Site<B>,
    weights: BlockWeights,
}

impl<'a, B: Backend> Made<'a, B> {
    fn new(shape: &'a Shape, site: &'a Site<B>) -> Self {
        let d = shape.hidden_size;
        let (ones, zeros) = (vec![1.0; d], vec![0.0; d]);
        let empty = Vec::new;
        let weights = BlockWeights {
            norm1_weight: ones.clone(),
            norm1_bias: zeros.clone(),
            query_weight: empty(),
            query_bias: empty(),
            key_weight: empty(),
            key_bias: empty(),
            value_weight: empty(),
            value_bias: empty(),
            output_weight: empty(),
            output_bias: empty(),
            layer_scale1: ones.clone(),
            norm2_weight: ones.clone(),
            norm2_bias: zeros,
            feed_forward: FeedForward::Mlp {
                fc1_weight: empty(),
                fc1_bias: empty(),
                fc2_weight: empty(),
                fc2_bias: empty(),
            },
            layer_scale2: ones,
        };
        Made { shape, site, weights }
    }

    /// The attention branch: teacher's stream `x` and student's `own` before it to the same after it.
    fn attention(
        &mut self,
        block: &Block<B>,
        x: Tensor<B, 2>,
        own: Tensor<B, 2>,
        map: &Tensor<B, 2>,
    ) -> Result<(Tensor<B, 2>, Tensor<B, 2>)> {
        let (d, heads) = (self.shape.hidden_size, self.shape.num_attention_heads);
        let width = d / heads;
        let (mixed, added) = self.site.attend(block, &x);
        let kept = best_heads(self.site, &mixed, &added.clone().matmul(map.clone()), width, heads)?;
        let wide = mixed.dims()[1];
        let channels = kept.iter().flat_map(|head| head * width..(head + 1) * width);
        let columns: Vec<usize> = (0..3).flat_map(|part| channels.clone().map(move |c| part * wide + c)).collect();
        let seen = self.site.normed(&own);
        let qkv = self.reader(&seen, &block.norm1.forward(x.clone()), &block.attention.qkv, &columns)?;
        let x = x.add(added);
        let mixed = self.site.mixed(qkv.apply(seen), heads);
        let write = fit(&mixed, &x.clone().matmul(map.clone()).sub(own.clone()), &self.site.weight, self.site.ridge)?;
        let [query, key, value] = [0, 1, 2].map(|part| stored(&qkv, part * d, d));
        (self.weights.query_weight, self.weights.query_bias) = query;
        (self.weights.key_weight, self.weights.key_bias) = key;
        (self.weights.value_weight, self.weights.value_bias) = value;
        (self.weights.output_weight, self.weights.output_bias) = stored(&write, 0, d);
        Ok((x, own.add(write.apply(mixed))))
    }

    /// The feed-forward branch, as [`Made::attention`].
    fn feed_forward(
        &mut self,
        block: &Block<B>,
        x: Tensor<B, 2>,
        own: Tensor<B, 2>,
        map: &Tensor<B, 2>,
    ) -> Result<(Tensor<B, 2>, Tensor<B, 2>)> {
        let Layers::Mlp(mlp) = &block.feed_forward else { unreachable!("refused by `possible`") };
        let (d, units) = (self.shape.hidden_size, self.shape.mlp_dim());
        let (hidden, added) = self.site.feed(block, &x);
        let write = mlp.fc2.weight.val().mul(block.layer_scale2.lambda.val().unsqueeze()).matmul(map.clone());
        let columns = best_units(&hidden, &write, &self.site.weight, units);
        let seen = self.site.normed(&own);
        let fc1 = self.reader(&seen, &block.norm2.forward(x.clone()), &mlp.fc1, &columns)?;
        let x = x.add(added);
        let hidden = gelu(fc1.apply(seen));
        let fc2 = fit(&hidden, &x.clone().matmul(map.clone()).sub(own.clone()), &self.site.weight, self.site.ridge)?;
        let (fc1_weight, fc1_bias) = stored(&fc1, 0, units);
        let (fc2_weight, fc2_bias) = stored(&fc2, 0, d);
        self.weights.feed_forward = FeedForward::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias };
        Ok((x, own.add(fc2.apply(hidden))))
    }

    /// The `columns` of `layer`, reading the student's normed stream `seen` in place of the teacher's `read`.
    fn reader(&self, seen: &Tensor<B, 2>, read: &Tensor<B, 2>, layer: &Linear<B>, columns: &[usize]) -> Result<Fit<B>> {
        let device = seen.device();
        let at = Tensor::<B, 1, Int>::from_data(
            TensorData::new(columns.iter().map(|&c| c as i64).collect(), [columns.len()]),
            &device,
        );
        let translation = fit(seen, read, &self.site.weight, self.site.ridge)?;
        let weight = layer.weight.val().select(1, at.clone());
        let bias = translation.bias.matmul(weight.clone());
        let bias = match &layer.bias {
            Some(own) => bias.add(own.val().select(0, at).unsqueeze()),
            None => bias,
        };
        Ok(Fit { weight: translation.weight.matmul(weight), bias })
    }
}

/// Output rows `first..first + count` of a fit as a checkpoint stores a layer.
fn stored<B: Backend>(fit: &Fit<B>, first: usize, count: usize) -> (Vec<f32>, Vec<f32>) {
    let inputs = fit.weight.dims()[0];
    let weight = transposed(&values(fit.weight.clone().narrow(1, first, count)), inputs, count);
    (weight, values(fit.bias.clone().narrow(1, first, count)))
}

/// The `count` heads of `mixed` [n, H·w] that together explain most of `target` [n, d], found one after the other;
/// ascending.
fn best_heads<B: Backend>(
    site: &Site<B>,
    mixed: &Tensor<B, 2>,
    target: &Tensor<B, 2>,
    width: usize,
    count: usize,
) -> Result<Vec<usize>> {
    let weight = &site.weight;
    let center = |x: &Tensor<B, 2>| {
        let mean = x.clone().mul(weight.clone()).sum_dim(0).div(weight.clone().sum().reshape([1, 1]));
        x.clone().sub(mean)
    };
    let (mixed, target) = (center(mixed), center(target));
    let (all, d) = (mixed.dims()[1], target.dims()[1]);
    let weighted = mixed.clone().mul(weight.clone()).transpose();
    let (gram, cross) = (doubles(weighted.clone().matmul(mixed)), doubles(weighted.matmul(target)));
    let explained = |heads: &[usize]| -> Result<f64> {
        let channels: Vec<usize> = heads.iter().flat_map(|h| h * width..(h + 1) * width).collect();
        let a = channels.len();
        let mut inner: Vec<f64> = channels
            .iter()
            .flat_map(|&i| channels.iter().map(move |&j| (i, j)))
            .map(|(i, j)| gram[i * all + j])
            .collect();
        let right: Vec<f64> = channels.iter().flat_map(|&i| cross[i * d..(i + 1) * d].iter().copied()).collect();
        let mut solution = right.clone();
        ridge(&mut inner, a, site.ridge);
        solve(&mut inner, a, &mut solution, d)?;
        Ok(solution.iter().zip(&right).map(|(x, y)| x * y).sum())
    };
    let mut kept: Vec<usize> = Vec::new();
    while kept.len() < count {
        let mut best = (f64::NEG_INFINITY, 0);
        for head in (0..all / width).filter(|head| !kept.contains(head)) {
            let found = explained(&[&kept[..], &[head]].concat())?;
            if found > best.0 {
                best = (found, head);
            }
        }
        kept.push(best.1);
    }
    kept.sort_unstable();
    Ok(kept)
}

/// The `count` units of `hidden` [n, F] with the largest variance times squared length of their row of `write` [F, d];
/// ascending.
fn best_units<B: Backend>(
    hidden: &Tensor<B, 2>,
    write: &Tensor<B, 2>,
    weight: &Tensor<B, 2>,
    count: usize,
) -> Vec<usize> {
    let total = weight.clone().sum().reshape([1, 1]);
    let mean = |x: Tensor<B, 2>| x.mul(weight.clone()).sum_dim(0).div(total.clone());
    let off = hidden.clone().sub(mean(hidden.clone()));
    let variance = values(mean(off.clone().mul(off)));
    let length = values(write.clone().mul(write.clone()).sum_dim(1));
    let score: Vec<f32> = variance.iter().zip(&length).map(|(v, l)| v * l).collect();
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|&a, &b| score[b].total_cmp(&score[a]).then(a.cmp(&b)));
    order.truncate(count);
    order.sort_unstable();
    order
}

/// Rows [m, D] as rows [m, d].
fn narrowed<B: Backend>(rows: &[f32], map: &Tensor<B, 2>, device: &B::Device) -> Vec<f32> {
    let wide = map.dims()[0];
    if rows.is_empty() {
        return Vec::new();
    }
    let rows = Tensor::<B, 2>::from_data(TensorData::new(rows.to_vec(), [rows.len() / wide, wide]), device);
    values(rows.matmul(map.clone()))
}

fn flat<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 2> {
    let [n, t, d] = x.dims();
    x.reshape([n * t, d])
}

/// Of n views of t tokens, [n·t, 1]: 1 on average, CLS [`CLS_SHARE`] of the sum.
fn token_weights<B: Backend>(n: usize, t: usize, device: &B::Device) -> Tensor<B, 2> {
    let others = (1.0 - CLS_SHARE) * t as f64 / (t - 1).max(1) as f64;
    let view: Vec<f32> = (0..t).map(|i| if i == 0 { CLS_SHARE * t as f64 } else { others } as f32).collect();
    Tensor::from_data(TensorData::new(view.repeat(n), [n * t, 1]), device)
}
