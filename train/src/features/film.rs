//! From the file of a film to pixel values.

use std::path::Path;

use rad_dino_edge::Result;
use rad_dino_edge::preprocess::{Preprocessing, preprocess};
use rad_dino_edge::scan::{self, Limits};

/// Pixel values [3, S, S] of the film at `path`.
///
/// # Errors
/// Whatever is wrong with the film; the message names it.
pub fn prepare(path: &Path, limits: &Limits, preprocessing: &Preprocessing) -> Result<Vec<f32>> {
    let scan = scan::read(path, limits)?;
    let side = preprocessing.crop_size;
    let mut values = vec![0.0; 3 * side * side];
    preprocess(&scan, preprocessing, &mut values)?;
    Ok(values)
}
