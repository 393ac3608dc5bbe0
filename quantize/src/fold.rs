//! Weights as the model file has them: [in, out], with LayerScale and 1/√d multiplied in.

use rad_dino_edge::checkpoint::{BlockWeights, FeedForward};
use rad_dino_edge::engine::Levelling;

/// y = x · weight + bias.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// K
    pub inputs: usize,
    /// N
    pub outputs: usize,
    /// [K, N], row-major.
    pub weight: Vec<f32>,
    /// [N]
    pub bias: Vec<f32>,
}

impl Linear {
    /// From weights as a checkpoint has them: `weight` [N, K]; output j is multiplied by `scale(j)`.
    /// `weight` has `bias.len()` rows.
    pub fn from_rows(weight: &[f32], bias: &[f32], scale: impl Fn(usize) -> f32) -> Self {
        let outputs = bias.len();
        let inputs = weight.len() / outputs.max(1);
        let mut columns = vec![0.0; inputs * outputs];
        for (j, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let factor = scale(j);
            for (k, value) in row.iter().enumerate() {
                columns[k * outputs + j] = value * factor;
            }
        }
        let bias = bias.iter().enumerate().map(|(j, value)| value * scale(j)).collect();
        Linear { inputs, outputs, weight: columns, bias }
    }
}

/// The linear layers of a block, in the order of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// D → 3D
    Qkv,
    /// D → D
    Output,
    /// D → F (or 2F)
    Fc1,
    /// F → D
    Fc2,
}

impl Layer {
    /// All of them.
    pub const ALL: [Layer; 4] = [Layer::Qkv, Layer::Output, Layer::Fc1, Layer::Fc2];

    /// The name in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Layer::Qkv => "qkv",
            Layer::Output => "output",
            Layer::Fc1 => "fc1",
            Layer::Fc2 => "fc2",
        }
    }
}

/// A block with everything folded in.
#[derive(Clone, Debug)]
pub(crate) struct FoldedBlock {
    pub norm1: [Vec<f32>; 2],
    pub qkv: Linear,
    pub output: Linear,
    pub norm2: [Vec<f32>; 2],
    pub fc1: Linear,
    /// What is done to fc2's input in the file.
    pub levelling: Option<Levelling>,
    pub fc2: Linear,
}

impl FoldedBlock {
    /// Folds LayerScale into the two output projections and 1/√(head width) into q.
    pub fn new(block: BlockWeights, heads: usize) -> Self {
        let d = block.norm1_weight.len();
        // in f32, as the engine folds when it is built straight from a checkpoint: the two are bit-equal
        let query_scale = 1.0 / ((d / heads.max(1)) as f32).sqrt();
        let weight = [block.query_weight, block.key_weight, block.value_weight].concat();
        let bias = [block.query_bias, block.key_bias, block.value_bias].concat();
        let (fc1_weight, fc1_bias, fc2_weight, fc2_bias) = match block.feed_forward {
            FeedForward::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias } => {
                (fc1_weight, fc1_bias, fc2_weight, fc2_bias)
            }
            FeedForward::SwiGlu { in_weight, in_bias, out_weight, out_bias } => {
                (in_weight, in_bias, out_weight, out_bias)
            }
        };
        FoldedBlock {
            norm1: [block.norm1_weight, block.norm1_bias],
            qkv: Linear::from_rows(&weight, &bias, |j| if j < d { query_scale } else { 1.0 }),
            output: Linear::from_rows(&block.output_weight, &block.output_bias, |j| block.layer_scale1[j]),
            norm2: [block.norm2_weight, block.norm2_bias],
            fc1: Linear::from_rows(&fc1_weight, &fc1_bias, |_| 1.0),
            levelling: None,
            fc2: Linear::from_rows(&fc2_weight, &fc2_bias, |j| block.layer_scale2[j]),
        }
    }

    /// The weights of `layer`.
    pub fn linear(&self, layer: Layer) -> &Linear {
        match layer {
            Layer::Qkv => &self.qkv,
            Layer::Output => &self.output,
            Layer::Fc1 => &self.fc1,
            Layer::Fc2 => &self.fc2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns_and_are_scaled() {
        let linear = Linear::from_rows(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[10.0, 20.0], |j| [1.0, 0.5][j]);
        assert_eq!((linear.inputs, linear.outputs), (3, 2));
        assert_eq!(linear.weight, [1.0, 2.0, 2.0, 2.5, 3.0, 3.0]);
        assert_eq!(linear.bias, [10.0, 10.0]);
    }
}
