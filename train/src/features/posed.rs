//! Features of films held in another way.

use std::path::Path;

use rad_dino_edge::preprocess::preprocess;
use rad_dino_edge::{Result, scan};

use super::{Encoder, FeatureSource};
use crate::data::pose::Pose;

/// An encoder that sees every film in `pose`.
#[derive(Debug)]
pub struct Posed<'a> {
    encoder: &'a Encoder,
    pose: Pose,
    key: String,
}

impl<'a> Posed<'a> {
    /// `encoder`, the films held in `pose`.
    pub fn new(encoder: &'a Encoder, pose: Pose) -> Self {
        Posed { encoder, pose, key: format!("{}-{}", encoder.key(), pose.as_str()) }
    }
}

impl FeatureSource for Posed<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    fn width(&self) -> usize {
        self.encoder.width()
    }

    fn prepare(&self, film: &Path) -> Result<Vec<f32>> {
        let scan = self.pose.apply(&scan::read(film, self.encoder.limits())?);
        let side = self.encoder.preprocessing().crop_size;
        let mut values = vec![0.0; 3 * side * side];
        preprocess(&scan, self.encoder.preprocessing(), &mut values)?;
        Ok(values)
    }

    fn features(&self, prepared: &[f32], n: usize) -> Result<Vec<f32>> {
        self.encoder.features(prepared, n)
    }
}
