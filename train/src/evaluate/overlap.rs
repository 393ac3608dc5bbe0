//! Masks drawn by a model's segmentation head on the masks of the manifest.

use std::path::PathBuf;

use rad_dino_edge::engine::Outputs;
use rad_dino_edge::model::manifest::Heads;
use rad_dino_edge::output::mask::{Look, draw};
use rad_dino_edge::preprocess::{Geometry, preprocess, preprocess_at};
use rad_dino_edge::scan::{self, Scan};
use rad_dino_edge::{Error, ErrorKind, Result};
use rayon::prelude::*;

use crate::data::mask::{IGNORE, INSIDE};
use crate::data::{Dataset, Film, Mask};
use crate::features::{Encoder, extract};

/// What the column `mask` shows.
pub const LABEL: &str = "lung";
/// Films per run of the encoder.
const BATCH: usize = 16;

/// Pixels of two masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// In both.
    pub both: u64,
    /// In the one drawn.
    pub drawn: u64,
    /// In the true one.
    pub truth: u64,
}

impl Overlap {
    /// Twice what is common over the sum of both; 1 for two empty masks.
    pub fn dice(&self) -> f64 {
        ratio(2 * self.both, self.drawn + self.truth)
    }

    /// What is common over what is in either; 1 for two empty masks.
    pub fn iou(&self) -> f64 {
        ratio(self.both, self.drawn + self.truth - self.both)
    }

    fn count(&mut self, drawn: bool, truth: bool) {
        self.both += u64::from(drawn && truth);
        self.drawn += u64::from(drawn);
        self.truth += u64::from(truth);
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

/// One film's masks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilmOverlap {
    /// Within the centre crop, which is what the model saw, in pixels of the film.
    pub crop: Overlap,
    /// On the whole film, its sides seen through further windows as `infer --segmentation` does.
    pub scan: Overlap,
}

/// All films of a dataset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlaps {
    /// [`LABEL`].
    pub label: String,
    /// By film; None where there is no mask.
    pub films: Vec<Option<FilmOverlap>>,
}

/// Runs `encoder`, whose segmentation has the channels `labels`, on the films of `dataset` that have a mask. None without
/// a channel of [`LABEL`] or without masks. Films whose picture or mask cannot be read go to `failed`; `quiet` hides the
/// progress.
///
/// # Errors
/// When the encoder fails or has no such output; a bad film costs only itself.
pub fn overlaps(
    encoder: &Encoder,
    labels: &[String],
    dataset: &Dataset,
    failed: &mut Vec<(PathBuf, Error)>,
    quiet: bool,
) -> Result<Option<Overlaps>> {
    let Some(channel) = labels.iter().position(|label| label == LABEL) else { return Ok(None) };
    let rows: Vec<usize> = (0..dataset.films.len()).filter(|&row| dataset.films[row].mask.is_some()).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let mut found = Overlaps { label: LABEL.to_owned(), films: vec![None; dataset.films.len()] };
    let bar = extract::progress(rows.len(), "masks", quiet);
    for rows in rows.chunks(BATCH) {
        let prepared: Vec<_> = rows.par_iter().map(|&row| prepare(encoder, &dataset.films[row])).collect();
        let (mut good, mut pixels) = (Vec::new(), Vec::new());
        for (&row, prepared) in rows.iter().zip(prepared) {
            match prepared {
                Ok((values, film)) => {
                    pixels.extend(values);
                    good.push((row, film));
                }
                Err(error) => failed.push((dataset.films[row].path.clone(), error)),
            }
        }
        if !good.is_empty() {
            let run = encoder.engine().run(&pixels, good.len())?;
            let centres = masks(&run, good.len(), labels.len(), channel)?;
            for ((row, film), centre) in good.iter().zip(centres) {
                let mut looks = vec![(film.geometry, centre)];
                let windows = film.geometry.windows();
                let mut pixels = vec![0.0; windows.len() * 3 * film.geometry.crop_size * film.geometry.crop_size];
                let part = pixels.len() / windows.len().max(1);
                for (window, pixels) in windows.iter().zip(pixels.chunks_exact_mut(part.max(1))) {
                    preprocess_at(&film.scan, encoder.preprocessing(), window, pixels)?;
                }
                if !windows.is_empty() {
                    let run = encoder.engine().run(&pixels, windows.len())?;
                    looks.extend(windows.iter().copied().zip(masks(&run, windows.len(), labels.len(), channel)?));
                }
                found.films[*row] = Some(compare(&film.mask, &looks)?);
            }
        }
        bar.inc(rows.len() as u64);
    }
    bar.finish_and_clear();
    Ok(Some(found))
}

/// The logits of one channel of each of `n` images.
fn masks(run: &Outputs, n: usize, channels: usize, channel: usize) -> Result<Vec<Vec<f32>>> {
    match run.get(Heads::output_name("segmentation")) {
        Some((&[images, found, height, width], logits))
            if images == n && found == channels && height == width && width > 0 =>
        {
            Ok(logits.chunks_exact(width * width).skip(channel).step_by(channels).map(<[f32]>::to_vec).collect())
        }
        _ => Err(Error::new(
            ErrorKind::Model,
            format!("the graph has no output segmentation_logits [N, {channels}, h, h]"),
        )
        .hint("the manifest and the graph do not belong together; convert the checkpoint again")),
    }
}

/// A film that has a mask.
struct Masked {
    scan: Scan,
    geometry: Geometry,
    mask: Mask,
}

/// Pixel values of the centre crop, and the film.
fn prepare(encoder: &Encoder, film: &Film) -> Result<(Vec<f32>, Masked)> {
    let mask = film.mask.as_ref().ok_or_else(|| Error::new(ErrorKind::Data, "there is no mask"))?;
    let scan = scan::read(&film.path, encoder.limits())?;
    let mask = Mask::read(mask, encoder.limits(), scan.width, scan.height)?;
    let side = encoder.preprocessing().crop_size;
    let mut values = vec![0.0; 3 * side * side];
    let geometry = preprocess(&scan, encoder.preprocessing(), &mut values)?;
    Ok((values, Masked { scan, geometry, mask }))
}

/// Draws as `infer --segmentation` does and counts the pixels that are not ignored. The first look is the centre crop.
fn compare(mask: &Mask, looks: &[(Geometry, Vec<f32>)]) -> Result<FilmOverlap> {
    let Some((centre, logits)) = looks.first() else { return Ok(FilmOverlap::default()) };
    let side = logits.len().isqrt();
    let looks: Vec<Look<'_>> = looks.iter().map(|(geometry, logits)| Look { geometry: *geometry, logits }).collect();
    let (inner, whole) = (draw(&looks[..1], side, side)?, draw(&looks, side, side)?);
    let mut found = FilmOverlap::default();
    let seen = 0.0..centre.crop_size as f64;
    for (((x, y, pixel), inner), truth) in whole.enumerate_pixels().zip(inner.as_raw()).zip(&mask.values) {
        if *truth == IGNORE {
            continue;
        }
        let truth = *truth == INSIDE;
        found.scan.count(pixel.0[0] == 255, truth);
        let (x, y) = centre.to_crop(f64::from(x) + 0.5, f64::from(y) + 0.5);
        if seen.contains(&x) && seen.contains(&y) {
            found.crop.count(*inner == 255, truth);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::preprocess::Preprocessing;

    use super::*;

    #[test]
    fn ratios() {
        let overlap = Overlap { both: 30, drawn: 40, truth: 60 };
        assert_eq!((overlap.dice(), overlap.iou()), (0.6, 30.0 / 70.0));
        assert_eq!((Overlap::default().dice(), Overlap::default().iou()), (1.0, 1.0));
    }

    #[test]
    fn ignored_pixels_and_those_outside_the_crop_are_told_apart() {
        let p = Preprocessing {
            shortest_edge: 20,
            crop_size: 20,
            rescale_factor: 1.0,
            image_mean: [0.0; 3],
            image_std: [1.0; 3],
        };
        // 40×20: the crop is columns 10 to 30, all of it is drawn. True are columns 0 to 20, ignored 20 to 25.
        let geometry = Geometry::new(40, 20, &p).unwrap();
        let values = (0..40 * 20).map(|i| match i % 40 {
            0..20 => INSIDE,
            20..25 => IGNORE,
            _ => 0,
        });
        let mask = Mask { width: 40, height: 20, values: values.collect() };
        let found = compare(&mask, &[(geometry, vec![1.0; 4])]).unwrap();
        assert_eq!(found.crop, Overlap { both: 200, drawn: 300, truth: 200 });
        assert_eq!(found.scan, Overlap { both: 200, drawn: 300, truth: 400 });
    }
}
