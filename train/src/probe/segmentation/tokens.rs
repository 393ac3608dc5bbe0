//! Patch tokens of films with masks, computed once.

use std::path::PathBuf;

use half::f16;
use rad_dino_edge::scan;
use rad_dino_edge::{Error, ErrorKind, Result};
use rayon::prelude::*;

use super::view::View;
use crate::data::mask::Target;
use crate::data::{Dataset, Mask};
use crate::features::{Encoder, extract};
use crate::linalg::standard::{Standard, Sums};
use crate::random::Random;

/// Views per run of the encoder.
const BATCH: usize = 16;

/// Views of films: what the encoder says and what the mask says.
#[derive(Debug, Default)]
pub struct Tokens {
    /// After the final LayerNorm, [views, P, D].
    pub values: Vec<f16>,
    /// P·D.
    pub stride: usize,
    /// One a view, on s·g × s·g cells.
    pub targets: Vec<Target>,
    /// Films that could not be read, and why.
    pub failed: Vec<(PathBuf, Error)>,
}

impl Tokens {
    /// The whole film and `windows` windows of it, of each film `rows` of `dataset`, with masks on `scale` cells a patch
    /// side. Films that cannot be read, or whose mask does not fit, are left out.
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn new(
        encoder: &Encoder,
        dataset: &Dataset,
        rows: &[usize],
        windows: usize,
        scale: usize,
        seed: u64,
        quiet: bool,
    ) -> Result<Self> {
        let shape = encoder.engine().shape();
        let side = scale * shape.patches.isqrt();
        let skip = shape.prefix_tokens * shape.embed_dim;
        let mut tokens = Tokens { stride: shape.patches * shape.embed_dim, ..Tokens::default() };
        let bar = extract::progress(rows.len(), "patch tokens", quiet);
        for rows in rows.chunks(BATCH) {
            let views: Vec<_> = rows.par_iter().map(|&row| views(encoder, dataset, row, windows, side, seed)).collect();
            let mut good = Vec::new();
            for (row, views) in rows.iter().zip(views) {
                match views {
                    Ok(views) => good.extend(views),
                    Err(error) => tokens.failed.push((dataset.films[*row].path.clone(), error)),
                }
            }
            while !good.is_empty() {
                let (pixels, targets): (Vec<_>, Vec<_>) = good.drain(..BATCH.min(good.len())).unzip();
                let run = encoder.engine().run(&pixels.concat(), targets.len())?;
                for film in run.hidden().chunks_exact(skip + tokens.stride) {
                    tokens.values.extend(film[skip..].iter().map(|x| f16::from_f32(*x)));
                }
                tokens.targets.extend(targets);
            }
            bar.inc(rows.len() as u64);
        }
        bar.finish_and_clear();
        Ok(tokens)
    }

    /// Mean and deviation of the `dim` channels over all tokens of all views.
    pub fn standard(&self, dim: usize) -> Standard {
        let mut sums = Sums::new(dim);
        self.values.chunks_exact(dim).for_each(|token| sums.add(token.iter().map(|x| x.to_f64())));
        sums.standard()
    }

    /// Patch tokens [P, D] of a view.
    pub fn view(&self, view: usize) -> &[f16] {
        &self.values[view * self.stride..(view + 1) * self.stride]
    }
}

type Prepared = (Vec<f32>, Target);

fn views(
    encoder: &Encoder,
    dataset: &Dataset,
    row: usize,
    windows: usize,
    side: usize,
    seed: u64,
) -> Result<Vec<Prepared>> {
    let film = &dataset.films[row];
    let scan = scan::read(&film.path, encoder.limits())?;
    let mask = film.mask.as_ref().ok_or_else(|| Error::new(ErrorKind::Data, "there is no mask"))?;
    let mask = Mask::read(mask, encoder.limits(), scan.width, scan.height)?;
    let mut random = Random::stream(seed, row as u64);
    let windows = (0..windows).map(|_| View::window(&scan, &mut random)).collect::<Vec<_>>();
    let all = std::iter::once(View::whole(&scan)).chain(windows);
    all.map(|view| view.take(&scan, &mask, encoder.preprocessing(), side)).collect()
}
