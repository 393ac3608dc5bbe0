//! Single views of chosen films, the same for the same seed at any thread count.

use std::path::PathBuf;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::{self, Limits};
use rad_dino_edge::{Error, ErrorKind, Result};
use rayon::prelude::*;

use super::Config;
use crate::data::Dataset;
use crate::data::augment::{Augment, Film, push_normalized};
use crate::data::loader::position;
use crate::random::{Random, repeated};
use crate::ssl::multi_crop::{Crop, Rectangle};

/// Films and how they are looked at.
#[derive(Clone, Debug)]
pub struct Views {
    paths: Vec<PathBuf>,
    /// Films in the order of an epoch; small sources come several times.
    order: Vec<usize>,
    crop: Crop,
    augment: Augment,
    preprocessing: Preprocessing,
    limits: Limits,
    seed: u64,
}

impl Views {
    /// Views of the films `chosen` of `dataset`.
    pub fn new(
        config: &Config,
        dataset: &Dataset,
        chosen: &[usize],
        preprocessing: &Preprocessing,
        limits: Limits,
    ) -> Self {
        let a = &config.augment;
        let [low, high] = config.scale;
        Views {
            paths: dataset.films.iter().map(|film| film.path.clone()).collect(),
            order: balanced(dataset, chosen, config.balance),
            crop: Crop { size: config.size, low, high },
            augment: Augment {
                jitter_probability: a.jitter_probability,
                jitter: a.jitter,
                blur_probability: a.blur_probability,
                blur_sigma: (a.blur_sigma[0], a.blur_sigma[1]),
                flip_probability: a.flip_probability,
            },
            preprocessing: preprocessing.clone(),
            limits,
            seed: config.seed,
        }
    }

    /// Micro-batch `index` of `films` augmented views: the films, and their pixels [n, 3, S, S]. Films that cannot be
    /// read are left out, so n may be smaller.
    ///
    /// # Errors
    /// `Data` when none can be read.
    pub fn batch<B: Backend>(
        &self,
        index: u64,
        films: usize,
        device: &B::Device,
    ) -> Result<(Vec<usize>, Tensor<B, 4>)> {
        let made = (0..films as u64).into_par_iter().map(|b| {
            let counter = index * films as u64 + b;
            let film = self.order[position(self.order.len(), counter, self.seed)];
            let mut random = Random::stream(self.seed, counter.wrapping_add(1 << 41));
            let source = self.read(film)?;
            let rectangle = self.crop.draw(source.width, source.height, &mut random);
            let mut view = source.crop(rectangle, self.crop.size);
            self.augment.apply(&mut view, self.crop.size, &mut random);
            Ok((film, view))
        });
        self.tensor(made.collect(), device)
    }

    /// The largest centred squares of `films`, unchanged otherwise.
    ///
    /// # Errors
    /// As [`Views::batch`].
    pub fn plain<B: Backend>(&self, films: &[usize], device: &B::Device) -> Result<(Vec<usize>, Tensor<B, 4>)> {
        let made = films.par_iter().map(|&film| {
            let source = self.read(film)?;
            let side = source.width.min(source.height);
            let (left, top) = ((source.width - side) / 2, (source.height - side) / 2);
            Ok((film, source.crop(Rectangle { left, top, width: side, height: side }, self.crop.size)))
        });
        self.tensor(made.collect(), device)
    }

    fn read(&self, film: usize) -> Result<Film> {
        Ok(Film::new(&scan::read(&self.paths[film], &self.limits)?))
    }

    fn tensor<B: Backend>(
        &self,
        made: Vec<Result<(usize, Vec<f32>)>>,
        device: &B::Device,
    ) -> Result<(Vec<usize>, Tensor<B, 4>)> {
        let (mut films, mut pixels, mut last) = (Vec::new(), Vec::new(), None);
        for view in made {
            match view {
                Ok((film, view)) => {
                    films.push(film);
                    push_normalized(&view, &self.preprocessing, &mut pixels);
                }
                Err(error) => last = Some(error),
            }
        }
        if let (true, Some(error)) = (films.is_empty(), last) {
            return Err(Error::new(ErrorKind::Data, format!("no film of a batch could be read: {error}")));
        }
        let shape = [films.len(), 3, self.crop.size, self.crop.size];
        Ok((films, Tensor::from_data(TensorData::new(pixels, shape), device)))
    }
}

/// Each source's films (largest / own)^balance times, the fraction as one more for some.
pub(crate) fn balanced(dataset: &Dataset, chosen: &[usize], balance: f64) -> Vec<usize> {
    let count = |source: &str| chosen.iter().filter(|&&i| dataset.films[i].row.source == source).count();
    let counts: std::collections::BTreeMap<&str, usize> =
        dataset.sources().into_iter().map(|s| (s, count(s))).collect();
    let largest = counts.values().copied().max().unwrap_or(0) as f64;
    let own = |film: usize| counts.get(dataset.films[film].row.source.as_str()).copied().unwrap_or(1).max(1) as f64;
    repeated(chosen, |film| (largest / own(film)).powf(balance), 0)
}
