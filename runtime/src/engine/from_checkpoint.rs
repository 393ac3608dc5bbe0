//! An engine straight from a checkpoint folder, without a model file in between.

use std::path::Path;

use rad_dino_kernels::Isa;

use super::{Engine, from_weights, isa_error, ours, pool};
use crate::checkpoint::position::{self, PositionInterpolation};
use crate::checkpoint::{Checkpoint, EncoderWeights, Probes};
use crate::error::{Error, ErrorKind, Result};
use crate::preprocess::Preprocessing;

impl Engine {
    /// Loads the checkpoint folder `dir` (fp32), with its probes when it has some. The input side is `image_size`, else
    /// the preprocessor's crop, else the checkpoint's own.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] naming what does not fit.
    pub fn from_checkpoint(dir: &Path, image_size: Option<usize>, threads: usize) -> Result<Self> {
        let checkpoint = Checkpoint::open(dir)?;
        let weights = checkpoint.encoder_weights()?;
        let preprocessing = checkpoint.preprocessing().map(|p| match image_size {
            Some(s) => p.with_image_size(s),
            None => p.clone(),
        });
        let size = image_size.or(preprocessing.as_ref().map(|p| p.crop_size)).unwrap_or(weights.config.image_size);
        let probes = Probes::read(dir, weights.config.hidden_size)?;
        let sha256 = checkpoint.sha256();
        Self::from_weights(&weights, size, PositionInterpolation::Size, probes.as_ref(), preprocessing, sha256, threads)
            .map_err(|e| e.at(dir.display()))
    }

    /// Builds the engine from weights in memory.
    ///
    /// # Errors
    /// When `image_size` is no multiple of the patch size, or `RDE_ISA` is unavailable.
    pub fn from_weights(
        weights: &EncoderWeights,
        image_size: usize,
        interpolation: PositionInterpolation,
        probes: Option<&Probes>,
        preprocessing: Option<Preprocessing>,
        sha256: String,
        threads: usize,
    ) -> Result<Self> {
        let isa = Isa::from_env().map_err(isa_error)?;
        let (pool, threads) = pool(threads)?;
        let patch = weights.config.patch_size;
        if image_size == 0 || !image_size.is_multiple_of(patch) {
            let message = format!("image size {image_size} is no multiple of the patch size {patch}");
            return Err(Error::new(ErrorKind::Checkpoint, message).hint("choose another --image-size"));
        }
        let grid = image_size / patch;
        let positions = position::interpolate(weights, grid, interpolation)?;
        let parts = from_weights::parts(weights, &positions, grid, probes);
        let source = ours(parts, isa, pool)?;
        Self::assemble(source, None, preprocessing, sha256, isa, threads)
    }
}
