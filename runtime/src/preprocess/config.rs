//! The constants of preprocessing. They come from a model's manifest or from `preprocessor_config.json`, never from code.

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Result};

/// The largest crop, and so the largest input of a model, in pixels a side: 4096² · 3 floats are 200 MB.
pub const MAX_SIDE: usize = 4096;
/// The largest shortest side, in pixels; only the crop of it is ever computed.
const MAX_SHORTEST_EDGE: usize = 16_384;

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

impl Preprocessing {
    /// For a graph that says nothing about its pixels: the whole picture at `size`, grey levels to [−1, 1].
    pub fn plain(size: usize) -> Self {
        Preprocessing {
            shortest_edge: size,
            crop_size: size,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        }
    }

    /// The same preprocessing for an input of `size`×`size` pixels: both resize and crop are scaled, so that the crop
    /// shows the same part of the scan.
    #[must_use]
    pub fn with_image_size(&self, size: usize) -> Preprocessing {
        let scaled = (self.shortest_edge as f64 * size as f64 / self.crop_size as f64).round();
        // The cast saturates; validate() judges the result.
        Preprocessing { shortest_edge: scaled as usize, crop_size: size, ..self.clone() }
    }

    /// Checks that the constants make sense.
    ///
    /// # Errors
    /// `Model`, naming the constant.
    pub fn validate(&self) -> Result<()> {
        match self.problem() {
            None => Ok(()),
            Some(problem) => Err(Error::new(ErrorKind::Model, format!("preprocessing: {problem}"))
                .hint("correct the preprocessing constants and write the model file again")),
        }
    }

    pub(super) fn problem(&self) -> Option<String> {
        let Preprocessing { shortest_edge, crop_size, rescale_factor, image_mean, image_std } = self;
        if !(1..=MAX_SIDE).contains(crop_size) {
            return Some(format!("crop_size is {crop_size}, must be 1 to {MAX_SIDE} pixels"));
        }
        if !(1..=MAX_SHORTEST_EDGE).contains(shortest_edge) {
            return Some(format!("shortest_edge is {shortest_edge}, must be 1 to {MAX_SHORTEST_EDGE} pixels"));
        }
        if !(rescale_factor.is_finite() && *rescale_factor > 0.0) {
            return Some(format!("rescale_factor is {rescale_factor}, must be positive"));
        }
        if let Some(mean) = image_mean.iter().find(|m| !m.is_finite()) {
            return Some(format!("image_mean holds {mean}, must be finite"));
        }
        // What rounds to zero as f32 would divide by zero.
        if let Some(std) = image_std.iter().find(|s| !(s.is_finite() && **s as f32 > 0.0)) {
            return Some(format!("image_std holds {std}, must be positive"));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imagenet() -> Preprocessing {
        Preprocessing {
            shortest_edge: 256,
            crop_size: 224,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.485, 0.456, 0.406],
            image_std: [0.229, 0.224, 0.225],
        }
    }

    #[test]
    fn both_sizes_scale() {
        let scaled = imagenet().with_image_size(518);
        assert_eq!((scaled.shortest_edge, scaled.crop_size), (592, 518));
        assert_eq!(imagenet().with_image_size(224), imagenet());
        let zero = Preprocessing { crop_size: 0, ..imagenet() };
        assert!(zero.with_image_size(224).validate().is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(imagenet().validate().is_ok());
        let bad = [
            Preprocessing { crop_size: 0, ..imagenet() },
            Preprocessing { crop_size: 5000, ..imagenet() },
            Preprocessing { shortest_edge: 0, ..imagenet() },
            Preprocessing { shortest_edge: 1 << 40, ..imagenet() },
            Preprocessing { rescale_factor: f64::NAN, ..imagenet() },
            Preprocessing { image_mean: [0.0, f64::INFINITY, 0.0], ..imagenet() },
            Preprocessing { image_std: [1.0, 0.0, 1.0], ..imagenet() },
            Preprocessing { image_std: [1.0, 1e-60, 1.0], ..imagenet() },
        ];
        for p in bad {
            assert_eq!(p.validate().unwrap_err().kind(), ErrorKind::Model, "{p:?}");
        }
    }
}
