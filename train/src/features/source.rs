//! What turns films into feature vectors.

use std::path::Path;

use rad_dino_edge::Result;

/// An encoder (or something that stands in for one).
pub trait FeatureSource: Sync {
    /// Names weights and preprocessing: films of the same bytes have the same features under the same key. Hex.
    fn key(&self) -> &str;

    /// Length of a feature vector.
    fn width(&self) -> usize;

    /// Decodes and preprocesses one film to the values that [`FeatureSource::features`] takes.
    ///
    /// # Errors
    /// Whatever is wrong with the film.
    fn prepare(&self, film: &Path) -> Result<Vec<f32>>;

    /// The features [n, width] of `n` prepared films, one after the other in `prepared`.
    ///
    /// # Errors
    /// When the encoder fails; the films are not to blame.
    fn features(&self, prepared: &[f32], n: usize) -> Result<Vec<f32>>;
}
