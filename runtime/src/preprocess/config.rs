//! The constants of preprocessing. They come from a model's manifest or from `preprocessor_config.json`, never from code.

use serde::{Deserialize, Serialize};

/// Resize, crop and normalise, in the terms of `preprocessor_config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// The shortest side after resizing, in pixels.
    pub shortest_edge: usize,
    /// Height = width of the centre crop, in pixels: the model's input side S.
    pub crop_size: usize,
    /// Factor from grey level to [0, 1] (1/255).
    pub rescale_factor: f64,
    /// Per-channel mean, subtracted after rescaling.
    pub image_mean: [f64; 3],
    /// Per-channel standard deviation, divided by after subtracting the mean.
    pub image_std: [f64; 3],
}
