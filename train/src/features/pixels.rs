//! The floor without an encoder: 32×32 grey levels.

use std::path::Path;

use rad_dino_edge::Result;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;

use super::FeatureSource;
use super::film::prepare;

const SIDE: usize = 32;

/// 1,024 grey levels from 0 to 1, resized and cropped as for an encoder.
#[derive(Clone, Debug)]
pub struct Pixels {
    limits: Limits,
    preprocessing: Preprocessing,
}

impl Pixels {
    /// Reads films within `limits`.
    pub fn new(limits: Limits) -> Self {
        let preprocessing = Preprocessing {
            shortest_edge: SIDE,
            crop_size: SIDE,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.0; 3],
            image_std: [1.0; 3],
        };
        Pixels { limits, preprocessing }
    }
}

impl FeatureSource for Pixels {
    fn key(&self) -> &str {
        "pixels-32"
    }

    fn width(&self) -> usize {
        SIDE * SIDE
    }

    fn prepare(&self, film: &Path) -> Result<Vec<f32>> {
        let mut grey = prepare(film, &self.limits, &self.preprocessing)?;
        grey.truncate(self.width());
        Ok(grey)
    }

    fn features(&self, prepared: &[f32], _n: usize) -> Result<Vec<f32>> {
        Ok(prepared.to_vec())
    }
}
