//! CLS and pooled patch tokens of films, by the runtime's engine, once.

use std::path::Path;

use rad_dino_edge::Result;
use rad_dino_edge::report::decoder::pool;
use sha2::{Digest, Sha256};

use crate::features::{Encoder, FeatureSource};

/// A feature vector is CLS [E], then the image tokens [I, E]: means of squares of the patch tokens.
#[derive(Debug)]
pub struct ImageTokens<'a> {
    encoder: &'a Encoder,
    pool: usize,
    key: String,
}

impl<'a> ImageTokens<'a> {
    /// Squares of `pool` by `pool` patches.
    pub fn new(encoder: &'a Encoder, pool: usize) -> Self {
        let identity = format!("image tokens {pool} {}", encoder.key());
        let key = Sha256::digest(identity.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
        ImageTokens { encoder, pool, key }
    }

    /// g: patches a side.
    pub fn grid(&self) -> usize {
        self.encoder.engine().shape().patches.isqrt()
    }

    /// I: image tokens a film.
    pub fn count(&self) -> usize {
        self.grid().div_ceil(self.pool).pow(2)
    }
}

impl FeatureSource for ImageTokens<'_> {
    fn key(&self) -> &str {
        &self.key
    }

    fn width(&self) -> usize {
        (1 + self.count()) * self.encoder.dim()
    }

    fn prepare(&self, film: &Path) -> Result<Vec<f32>> {
        self.encoder.prepare(film)
    }

    fn features(&self, prepared: &[f32], n: usize) -> Result<Vec<f32>> {
        let shape = self.encoder.engine().shape();
        let run = self.encoder.engine().run(prepared, n)?;
        let e = shape.embed_dim;
        let mut features = Vec::with_capacity(n * self.width());
        for film in run.hidden().chunks_exact((shape.prefix_tokens + shape.patches) * e) {
            features.extend_from_slice(&film[..e]);
            features.extend(pool(&film[shape.prefix_tokens * e..], self.grid(), e, self.pool));
        }
        Ok(features)
    }
}
