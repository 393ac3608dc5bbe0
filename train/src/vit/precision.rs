//! Number format of the encoder's large matrix products. Weights, LayerNorm, softmax, the residual stream and all losses
//! stay f32 (burn has no autocast, so the casts stand here).

use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor, activation};
use serde::{Deserialize, Serialize};

use super::gelu::gelu;
use super::rounding;

/// What the encoder multiplies matrices in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision everywhere.
    #[default]
    F32,
    /// bf16 operands, the backend's own (f32) sums; master weights and their gradients f32.
    Bf16,
    /// As `F32`, and linear layers of blocks round as int8 files do: see [`super::rounding`].
    #[serde(skip)]
    Int8F32,
    /// As `Bf16`, and linear layers of blocks round as int8 files do. Steps of ±127 are exact in bf16, their sums are
    /// rounded to it.
    #[serde(skip)]
    Int8Bf16,
}

impl Precision {
    /// Without rounding to int8.
    #[must_use]
    pub fn unrounded(self) -> Self {
        match self {
            Precision::F32 | Precision::Int8F32 => Precision::F32,
            Precision::Bf16 | Precision::Int8Bf16 => Precision::Bf16,
        }
    }

    /// With rounding to int8.
    #[must_use]
    pub fn rounded(self) -> Self {
        match self {
            Precision::F32 | Precision::Int8F32 => Precision::Int8F32,
            Precision::Bf16 | Precision::Int8Bf16 => Precision::Int8Bf16,
        }
    }

    fn is_bf16(self) -> bool {
        self.unrounded() == Precision::Bf16
    }

    /// As an operand of a product.
    pub fn operand<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        if self.is_bf16() { x.cast(DType::BF16) } else { x }
    }

    /// Back to the residual stream.
    pub fn float<B: Backend, const D: usize>(self, x: Tensor<B, D>) -> Tensor<B, D> {
        if self.is_bf16() { x.cast(DType::F32) } else { x }
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
            Precision::Int8F32 | Precision::Int8Bf16 => self.operand(rounding::linear(layer, x, self)),
        }
    }

    /// x · Φ(x), erf-exact in f32. In bf16 the backend's one fused operation, whose derivative is exact with LibTorch
    /// and within 1e-3, below bf16's own rounding, elsewhere.
    pub fn gelu<B: Backend>(self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        if self.is_bf16() { activation::gelu(x) } else { gelu(x) }
    }
}
