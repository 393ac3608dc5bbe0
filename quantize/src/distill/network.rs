//! The student with its adapters, and the scale of the teacher's features.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rad_dino_edge::Result;
use rad_dino_train::linalg::standard::{Standard, Sums};
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

/// The scale of the teacher's features. Some channels of a DINOv2 are many times larger than the rest and nearly constant;
/// in deviations from the mean, what differs between films counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Scales {
    /// Of CLS, [D].
    pub cls: Standard,
    /// Of patch tokens, [D].
    pub patches: Standard,
}

impl Scales {
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
            let mut rows = view.tokens.chunks_exact(d).map(|row| row.iter().map(|x| f64::from(*x)));
            rows.by_ref().take(1).for_each(|row| cls.add(row));
            rows.for_each(|row| patches.add(row));
        }
        Ok(Scales { cls: cls.standard(), patches: patches.standard() })
    }
}
