//! The student with its adapters, and the scale of the teacher's features.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rad_dino_edge::Result;
use rad_dino_train::vit::Encoder;

use super::views::Views;

/// An encoder of width d, and two linear layers to the teacher's D that only training needs.
#[derive(Module, Debug)]
pub struct Student<B: Backend> {
    /// What is shipped.
    pub encoder: Encoder<B>,
    /// CLS, [d, D].
    pub cls: Linear<B>,
    /// Patch tokens, [d, D].
    pub patches: Linear<B>,
}

/// What a batch gave.
#[derive(Clone, Debug)]
pub struct Features<B: Backend> {
    /// CLS of the encoder itself, [n, d].
    pub own: Tensor<B, 2>,
    /// CLS as the teacher's, standardised, [n, D].
    pub cls: Tensor<B, 2>,
    /// Patch tokens as the teacher's, standardised, [n·P, D].
    pub patches: Tensor<B, 2>,
}

impl<B: Backend> Student<B> {
    /// Pixels [n, 3, S, S] to features.
    ///
    /// # Errors
    /// `Usage` when S holds no patch.
    pub fn forward(&self, pixels: Tensor<B, 4>) -> Result<Features<B>> {
        let (own, patches) = self.encoder.split(self.encoder.forward(pixels, None, None)?);
        let [n, p, d] = patches.dims();
        Ok(Features {
            cls: self.cls.forward(own.clone()),
            own,
            patches: self.patches.forward(patches.reshape([n * p, d])),
        })
    }
}

/// Mean and deviation of each channel of the teacher's features. Some channels of a DINOv2 are many times larger than
/// the rest and nearly constant; in deviations from the mean, what differs between films counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    /// Of CLS, [D].
    pub cls: Scale,
    /// Of patch tokens, [D].
    pub patches: Scale,
}

/// Of one kind of token.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// [D]
    pub mean: Vec<f32>,
    /// [D], not 0.
    pub deviation: Vec<f32>,
}

impl Standard {
    /// Over at most `most` views, evenly spread.
    ///
    /// # Errors
    /// As [`Views::get`].
    pub fn of(views: &Views, most: usize) -> Result<Self> {
        let d = views.layout.dim;
        let taken = views.len().min(most);
        let (mut cls, mut patches) = (Sums::new(d), Sums::new(d));
        for k in 0..taken {
            let view = views.get(k * views.len() / taken)?;
            let mut rows = view.tokens.chunks_exact(d);
            rows.by_ref().take(1).for_each(|row| cls.add(row));
            rows.for_each(|row| patches.add(row));
        }
        Ok(Standard { cls: cls.scale(), patches: patches.scale() })
    }
}

impl Scale {
    /// (x − mean) / deviation on rows [n, D], in place.
    pub fn apply(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.mean.len().max(1)) {
            for ((x, mean), deviation) in row.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *x = (*x - mean) / deviation;
            }
        }
    }

    /// x · deviation + mean on rows [n, D], in place.
    pub fn undo(&self, rows: &mut [f32]) {
        for row in rows.chunks_exact_mut(self.mean.len().max(1)) {
            for ((x, mean), deviation) in row.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *x = *x * deviation + mean;
            }
        }
    }
}

struct Sums {
    n: f64,
    sum: Vec<f64>,
    square: Vec<f64>,
}

impl Sums {
    fn new(d: usize) -> Self {
        Sums { n: 0.0, sum: vec![0.0; d], square: vec![0.0; d] }
    }

    fn add(&mut self, row: &[f32]) {
        self.n += 1.0;
        for ((sum, square), x) in self.sum.iter_mut().zip(&mut self.square).zip(row) {
            *sum += f64::from(*x);
            *square += f64::from(*x) * f64::from(*x);
        }
    }

    fn scale(self) -> Scale {
        let n = self.n.max(1.0);
        let deviations = self.sum.iter().zip(&self.square).map(|(s, q)| (q / n - (s / n).powi(2)).max(0.0).sqrt());
        let deviations: Vec<f64> = deviations.collect();
        // a channel that never changes is noise of the teacher's rounding; it must not become as loud as the others
        let floor = 1e-2 * deviations.iter().sum::<f64>() / deviations.len().max(1) as f64 + 1e-6;
        Scale {
            mean: self.sum.iter().map(|s| (s / n) as f32).collect(),
            deviation: deviations.into_iter().map(|v| v.max(floor) as f32).collect(),
        }
    }
}
