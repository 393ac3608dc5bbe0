//! Number format of the encoder's large matrix products. Weights, LayerNorm, softmax, the residual stream and all losses
//! stay f32 (burn has no autocast, so the casts stand here).

use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, activation};
use serde::{Deserialize, Serialize};

use super::gelu::gelu;

/// What the encoder multiplies matrices in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision everywhere.
    #[default]
    F32,
    /// bf16 operands, the backend's own (f32) sums; master weights and their gradients f32.
    Bf16,
}

impl Precision {
    /// As an operand of a product.
    pub fn operand<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        match self {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(DType::BF16),
        }
    }

    /// Back to the residual stream.
    pub fn float<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        match self {
            Precision::F32 => x,
            Precision::Bf16 => x.cast(DType::F32),
        }
    }

    /// [n, in] to [n, out]; under bf16 the result is bf16 too.
    pub fn linear<B: Backend>(self, layer: &Linear<B>, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Precision::F32 => layer.forward(x),
            Precision::Bf16 => {
                let y = self.operand(x).matmul(self.operand(layer.weight.val()));
                match &layer.bias {
                    Some(bias) => y.add(self.operand(bias.val()).unsqueeze()),
                    None => y,
                }
            }
        }
    }

    /// x · Φ(x), erf-exact in f32. In bf16 the backend's one fused operation, whose derivative is exact with LibTorch
    /// and within 1e-3, below bf16's own rounding, elsewhere.
    pub fn gelu<B: Backend>(self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        match self {
            Precision::F32 => gelu(x),
            Precision::Bf16 => activation::gelu(x),
        }
    }
}
