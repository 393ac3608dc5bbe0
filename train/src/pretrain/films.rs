//! The films of a run, from manifests and packed files, and what is made of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::config::{Config, Train};
use crate::data::augment::Augment;
use crate::data::loader::{Films, Place, Recipe};
use crate::data::pack::Pack;
use crate::data::row::patient_share;
use crate::data::{Dataset, Split};
use crate::random::mix;
use crate::ssl::masking::Masking;
use crate::ssl::multi_crop::{Crop, MultiCrop};

/// The films of `train.splits` in `data`: files that end in `.pack` are packed films, all others manifests. With
/// `train.balance` an epoch holds the films of smaller sources several times, see [`repeated`].
///
/// # Errors
/// Those of the readers; `Data` when no film is of these splits.
pub fn collect(data: &[PathBuf], train: &Train, limits: Limits) -> Result<Films> {
    let splits = train.splits.iter().map(|word| Split::parse(word)).collect::<Result<Vec<Split>>>()?;
    let mut sources: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    for path in data {
        if path.extension().is_some_and(|e| e == "pack") {
            sources.entry(path.display().to_string()).or_default().extend(packed(path, &splits, train.fraction)?);
        } else {
            let dataset = Dataset::read(std::slice::from_ref(path))?;
            let wanted = |film: &crate::data::Film| {
                splits.contains(&film.row.split())
                    && (train.sources.is_empty() || train.sources.contains(&film.row.source))
                    && patient_share(&film.row.patient_id) < train.fraction
            };
            for film in dataset.films.into_iter().filter(wanted) {
                sources.entry(film.row.source.clone()).or_default().push(Place::File(film.path));
            }
        }
    }
    let largest = sources.values().map(Vec::len).max().unwrap_or(0);
    let places: Vec<Place> = sources.into_values().flat_map(|films| repeated(films, largest, train.balance)).collect();
    if places.is_empty() {
        return Err(Error::new(ErrorKind::Data, "--data has no films of the splits to train on")
            .hint("train.splits in the configuration names them"));
    }
    Ok(Films { places: Arc::new(places), limits })
}

/// How views are made for an encoder of this preprocessing and patch size.
pub fn recipe(config: &Config, preprocessing: &Preprocessing, patch_size: usize) -> Recipe {
    let Config { crops, augment, mask, train, .. } = config;
    let crop = |size: usize, [low, high]: [f64; 2]| Crop { size, low, high };
    Recipe {
        films: train.films,
        crops: MultiCrop {
            global: crop(crops.global_size, crops.global_scale),
            local: crop(crops.local_size, crops.local_scale),
            locals: crops.local_count,
        },
        masking: Masking { probability: mask.probability, low: mask.ratio[0], high: mask.ratio[1] },
        augment: Augment {
            jitter_probability: augment.jitter_probability,
            jitter: augment.jitter,
            blur_probability: augment.blur_probability,
            blur_sigma: (augment.blur_sigma[0], augment.blur_sigma[1]),
            flip_probability: augment.flip_probability,
        },
        preprocessing: preprocessing.clone(),
        patch_size,
        seed: train.seed,
    }
}

fn packed(path: &Path, splits: &[Split], fraction: f64) -> Result<Vec<Place>> {
    let pack = Arc::new(Pack::open(path)?);
    let kept = |i: usize| (mix(i as u64) as f64 / u64::MAX as f64) < fraction || fraction >= 1.0;
    let chosen = (0..pack.len()).filter(|&i| kept(i) && pack.split(i).is_some_and(|split| splits.contains(&split)));
    Ok(chosen.map(|i| Place::Packed(pack.clone(), i)).collect())
}

/// The n films of a source, each (largest / n)^balance times: the whole part for all, the fraction as one more for some.
fn repeated(films: Vec<Place>, largest: usize, balance: f64) -> Vec<Place> {
    let times = (largest as f64 / films.len().max(1) as f64).powf(balance);
    let (whole, fraction) = (times.floor() as usize, times.fract());
    let more = |i: usize| (mix(i as u64) as f64 / u64::MAX as f64) < fraction;
    let copies = films.into_iter().enumerate();
    copies.flat_map(|(i, film)| std::iter::repeat_n(film, whole + usize::from(more(i)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_sources_come_more_often() {
        let films = |n: usize| (0..n).map(|i| Place::File(PathBuf::from(i.to_string()))).collect::<Vec<_>>();
        assert_eq!(repeated(films(400), 1600, 0.0).len(), 400);
        assert_eq!(repeated(films(400), 1600, 0.5).len(), 800);
        assert_eq!(repeated(films(1600), 1600, 0.5).len(), 1600);
        let some = repeated(films(400), 900, 0.5).len();
        assert!((550..650).contains(&some), "{some}");
        assert_eq!(repeated(films(400), 1600, 1.0).len(), 1600);
    }
}
