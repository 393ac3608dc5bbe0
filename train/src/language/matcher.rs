//! Two encoders and the contrastive loss (CLIP: Radford et al. 2021, section 2.3).

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use burn::tensor::backend::Backend;
use rad_dino_edge::Result;

use super::reports::{Encoded, ReportEncoder};
use crate::random::Random;
use crate::ssl::dino_head::normalized;
use crate::supervised::classifier::features;
use crate::vit::Encoder;
use crate::vit::initial::truncated_normal;
use crate::vit::linear::{linear, vector};

/// Width of the shared space.
const SHARED: usize = 256;
/// The scale never exceeds this.
const MOST: f64 = 100.0;

/// Image and text encoder with projections into one space.
#[derive(Module, Debug)]
pub struct Matcher<B: Backend> {
    /// The backbone, all that is kept at the end.
    pub encoder: Encoder<B>,
    /// Reads reports.
    pub text: ReportEncoder<B>,
    /// [2D, SHARED]
    pub image_projection: Linear<B>,
    /// [text width, SHARED]
    pub text_projection: Linear<B>,
    /// log of the factor on cosines, [1].
    pub scale: Param<Tensor<B, 1>>,
}

impl<B: Backend> Matcher<B> {
    /// Around both encoders; the projections are fresh.
    pub fn new(encoder: Encoder<B>, text: ReportEncoder<B>, seed: u64, device: &B::Device) -> Self {
        let inputs = 2 * encoder.cls_token.dims()[1];
        let mut random = Random::stream(seed, 0x636c_6970);
        let mut projection =
            |inputs: usize| linear(&truncated_normal(inputs * SHARED, &mut random), None, inputs, device);
        Matcher {
            image_projection: projection(inputs),
            text_projection: projection(text.width()),
            text,
            scale: vector(&[(1.0f32 / 0.07).ln()], device),
            encoder,
        }
    }

    /// Cross-entropy of finding each film's report among n, and each report's film: `pixels` [n, 3, S, S], n `texts`.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn loss(&self, pixels: Tensor<B, 4>, texts: Vec<Encoded>) -> Result<Tensor<B, 1>> {
        let images = self.image_projection.forward(features(&self.encoder, pixels, None)?);
        let reports = self.text_projection.forward(self.text.forward(texts, self.encoder.precision));
        let factor = self.scale.val().clamp_max(MOST.ln()).exp();
        let cosines = normalized(images, 1e-12).matmul(normalized(reports, 1e-12).transpose());
        Ok(contrast(cosines.mul(factor.unsqueeze())))
    }
}

/// Mean of both directions' cross-entropies of the diagonal of [n, n].
fn contrast<B: Backend>(logits: Tensor<B, 2>) -> Tensor<B, 1> {
    let [n, _] = logits.dims();
    let diagonal = Tensor::<B, 2>::eye(n, &logits.device());
    let forth = log_softmax(logits.clone(), 1).mul(diagonal.clone()).sum();
    let back = log_softmax(logits, 0).mul(diagonal).sum();
    forth.add(back).div_scalar(-2.0 * n as f64)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;
    use crate::vit::linear::values;

    #[test]
    fn the_loss_is_small_where_pairs_match() {
        let of = |rows: [[f32; 2]; 2]| values(contrast(Tensor::<Flex, 2>::from_data(rows, &Default::default())))[0];
        assert!((of([[1.0, 1.0], [1.0, 1.0]]) - 2f32.ln()).abs() < 1e-6);
        let right = (1.0 + (-3f32).exp()).ln();
        assert!((of([[4.0, 1.0], [1.0, 4.0]]) - right).abs() < 1e-6);
        assert!(of([[1.0, 4.0], [4.0, 1.0]]) > 3.0);
    }
}
