//! The shape of a head, so that a state file can be filled in without what the run started from.

use serde::{Deserialize, Serialize};

use crate::ssl::HeadWeights;

/// Widths of a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadShape {
    /// D.
    pub inputs: usize,
    /// Outputs of each linear layer.
    pub widths: Vec<usize>,
    /// K.
    pub prototypes: usize,
    /// Whether g is trained.
    pub gains: bool,
}

impl HeadShape {
    /// Of these weights.
    pub fn of(weights: &HeadWeights) -> Self {
        HeadShape {
            inputs: weights.inputs,
            widths: weights.layers.iter().map(|(_, bias)| bias.len()).collect(),
            prototypes: weights.count(),
            gains: weights.gains.is_some(),
        }
    }

    /// A head of this shape, to be filled in.
    pub fn blank(&self) -> HeadWeights {
        let mut width = self.inputs;
        let layers = self.widths.iter().map(|&outputs| {
            let layer = (vec![0.0; width.saturating_mul(outputs)], vec![0.0; outputs]);
            width = outputs;
            layer
        });
        let layers = layers.collect();
        HeadWeights {
            inputs: self.inputs,
            layers,
            prototypes: vec![1.0; width.saturating_mul(self.prototypes)],
            gains: self.gains.then(|| vec![1.0; self.prototypes]),
        }
    }
}
