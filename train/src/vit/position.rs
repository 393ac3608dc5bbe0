//! The position table at another grid, as a matrix product, so that the table learns at every crop size.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex};

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::checkpoint::{Config, EncoderWeights, PositionInterpolation, position};
use rad_dino_edge::{Error, ErrorKind, Result};

/// Interpolation matrices [g·g, G·G] by g, computed once each by the runtime's own rule.
#[derive(Clone, Debug)]
pub struct PositionGrids {
    config: Config,
    matrices: Arc<Mutex<BTreeMap<usize, Vec<f32>>>>,
}

impl PositionGrids {
    /// For the stored grid of `config`.
    pub fn new(config: &Config) -> Self {
        PositionGrids { config: config.clone(), matrices: Arc::default() }
    }

    /// The rows of the table [G·G, D] resampled to [g·g, D]; as they are when g = G.
    ///
    /// # Errors
    /// `Usage` when g is 0 or too large.
    pub fn resample<B: Backend>(&self, table: Tensor<B, 2>, target: usize) -> Result<Tensor<B, 2>> {
        let cells = self.config.grid() * self.config.grid();
        if target == self.config.grid() {
            return Ok(table);
        }
        let mut matrices = self.matrices.lock().map_err(|_| Error::new(ErrorKind::Internal, "a thread gave up"))?;
        if let Entry::Vacant(entry) = matrices.entry(target) {
            entry.insert(interpolation(&self.config, target)?);
        }
        let matrix = matrices.get(&target).cloned().unwrap_or_default();
        let matrix = Tensor::<B, 2>::from_data(TensorData::new(matrix, [target * target, cells]), &table.device());
        Ok(matrix.matmul(table))
    }
}

/// What resampling does to the unit vectors: [g·g, G·G].
fn interpolation(config: &Config, target: usize) -> Result<Vec<f32>> {
    let cells = config.grid() * config.grid();
    let mut unit = vec![0.0; (cells + 1) * cells];
    for cell in 0..cells {
        unit[(cell + 1) * cells + cell] = 1.0;
    }
    let weights = EncoderWeights {
        config: Config { hidden_size: cells, ..config.clone() },
        cls_token: Vec::new(),
        mask_token: Vec::new(),
        register_tokens: Vec::new(),
        position_embeddings: unit,
        patch_weight: Vec::new(),
        patch_bias: Vec::new(),
        blocks: Vec::new(),
        norm_weight: Vec::new(),
        norm_bias: Vec::new(),
    };
    let mut table = position::interpolate(&weights, target, PositionInterpolation::Size)?;
    table.drain(..cells);
    Ok(table)
}
