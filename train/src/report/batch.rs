//! Batches: image tokens, report tokens, targets.

use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};

use super::corpus::Example;
use super::model::Writer;
use crate::linalg::Matrix;
use crate::random::Random;
use crate::vit::Precision;

/// What the films look like: row i of `features` is CLS [E], then I image tokens [E] of film i.
#[derive(Clone, Copy, Debug)]
pub struct Images<'a> {
    /// [films, (1 + I)·E]
    pub features: &'a Matrix,
    /// E
    pub width: usize,
}

impl Images<'_> {
    /// I
    pub fn count(&self) -> usize {
        self.features.cols / self.width - 1
    }

    /// The image tokens [I, E] of a film.
    pub fn of(&self, film: usize) -> &[f32] {
        &self.features.row(film)[self.width..]
    }

    /// CLS [E] of a film.
    pub fn cls(&self, film: usize) -> &[f32] {
        &self.features.row(film)[..self.width]
    }

    fn tensor<B: Backend>(
        &self,
        films: impl Iterator<Item = usize>,
        dropped: Drop<'_>,
        device: &B::Device,
    ) -> Tensor<B, 3> {
        let mut values = vec![];
        let mut n = 0;
        let (share, random) = dropped;
        let mut random = random;
        for film in films {
            n += 1;
            let start = values.len();
            values.extend_from_slice(self.of(film));
            if let Some(random) = random.as_deref_mut() {
                for token in values[start..].chunks_exact_mut(self.width) {
                    if random.unit() < share {
                        token.fill(0.0);
                    }
                }
            }
        }
        Tensor::from_data(TensorData::new(values, [n, self.count(), self.width]), device)
    }
}

type Drop<'a> = (f64, Option<&'a mut Random>);

/// How a batch is looked at.
#[derive(Debug)]
pub enum Look<'a> {
    /// Text alone.
    Text,
    /// Image and text; image tokens are hidden with this probability.
    Image(Images<'a>, f64, Option<&'a mut Random>),
    /// As `Image`, but each report with the next one's image.
    Blind(Images<'a>),
}

/// What a batch cost.
#[derive(Clone, Debug)]
pub struct Loss<B: Backend> {
    /// Mean over the target tokens of the smoothed cross-entropy (`smoothing` 0 = the plain one).
    pub text: Tensor<B, 1>,
    /// Logits [N, 14] of the labels, when there is an image and that head.
    pub findings: Option<Tensor<B, 2>>,
}

/// The text of `examples`, and the labels' logits.
pub fn loss<B: Backend>(
    writer: &Writer<B>,
    examples: &[&Example],
    look: Look<'_>,
    smoothing: f64,
    precision: Precision,
    device: &B::Device,
) -> Loss<B> {
    let n = examples.len();
    let t = examples.iter().map(|e| e.tokens.len()).max().unwrap_or(2) - 1;
    let (mut inputs, mut targets, mut known) = (vec![0i64; n * t], vec![0i64; n * t], vec![0f32; n * t]);
    for (i, example) in examples.iter().enumerate() {
        for (j, pair) in example.tokens.windows(2).enumerate() {
            inputs[i * t + j] = i64::from(pair[0]);
            targets[i * t + j] = i64::from(pair[1]);
            known[i * t + j] = 1.0;
        }
    }
    let image = match look {
        Look::Text => None,
        Look::Image(images, share, random) => {
            Some(images.tensor(examples.iter().map(|e| e.film), (share, random), device))
        }
        Look::Blind(images) => {
            let films = (0..n).map(|i| examples[(i + 1) % n].film);
            Some(images.tensor(films, (0.0, None), device))
        }
    };
    let count: f32 = known.iter().sum();
    let tokens = Tensor::<B, 2, Int>::from_data(TensorData::new(inputs, [n, t]), device);
    let targets = Tensor::<B, 2, Int>::from_data(TensorData::new(targets, [n * t, 1]), device);
    let known = Tensor::<B, 2>::from_data(TensorData::new(known, [n * t, 1]), device);
    let image = image.map(|image| writer.projector.forward(image, precision));
    let findings = image.as_ref().and_then(|image| writer.findings(image));
    let log = log_softmax(writer.forward(image, tokens, precision), 1);
    let mut gain = log.clone().gather(1, targets);
    if smoothing > 0.0 {
        gain = gain.mul_scalar(1.0 - smoothing).add(log.mean_dim(1).mul_scalar(smoothing));
    }
    Loss { text: gain.mul(known).sum().div_scalar(-f64::from(count.max(1.0))), findings }
}

/// The examples of step `step`: every epoch in another order, `repeat` times as many of some.
pub fn drawn<'a>(examples: &'a [Example], order: &[usize], batch: usize, step: usize, seed: u64) -> Vec<&'a Example> {
    let mut picked = Vec::with_capacity(batch);
    let mut shuffled: (usize, Vec<usize>) = (usize::MAX, vec![]);
    for k in 0..batch {
        let at = step * batch + k;
        let epoch = at / order.len();
        if shuffled.0 != epoch {
            let mut random = Random::stream(seed, epoch as u64);
            let mut own = order.to_vec();
            for i in (1..own.len()).rev() {
                own.swap(i, random.below(i + 1));
            }
            shuffled = (epoch, own);
        }
        picked.push(&examples[shuffled.1[at % order.len()]]);
    }
    picked
}
