//! The number format of a linear layer's weights, and the weights in it.

use rad_dino_edge::model::manifest::Precision;

use crate::fold::{FoldedBlock, Layer, Linear};
use crate::int8::{self, QuantizedLinear};

/// A layer's weights as the file has them.
#[derive(Clone, Debug)]
pub(crate) enum Rounded {
    F32,
    F16,
    Int8(QuantizedLinear),
}

impl Rounded {
    /// As every layer of a file without calibration has them.
    pub fn plain(linear: &Linear, precision: Precision) -> Self {
        match precision {
            Precision::Fp32 => Rounded::F32,
            Precision::Fp16 => Rounded::F16,
            Precision::Int8 => Rounded::Int8(int8::quantize(linear)),
        }
    }

    /// [`Rounded::plain`] of all layers of a block.
    pub fn block(block: &FoldedBlock, precision: Precision) -> [Self; 4] {
        Layer::ALL.map(|layer| Rounded::plain(block.linear(layer), precision))
    }

    /// The format.
    pub fn precision(&self) -> Precision {
        match self {
            Rounded::F32 => Precision::Fp32,
            Rounded::F16 => Precision::Fp16,
            Rounded::Int8(_) => Precision::Int8,
        }
    }
}
