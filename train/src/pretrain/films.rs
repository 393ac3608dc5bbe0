//! The films of a run, from manifests and packed files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};

use crate::data::loader::{Films, Place};
use crate::data::pack::Pack;
use crate::data::{Dataset, Split};

/// The films of `splits` in `data`: files that end in `.pack` are packed films, all others manifests.
///
/// # Errors
/// Those of the readers; `Data` when no film is of these splits.
pub fn collect(data: &[PathBuf], splits: &[String], limits: Limits) -> Result<Films> {
    let splits = splits.iter().map(|word| Split::parse(word)).collect::<Result<Vec<Split>>>()?;
    let mut places = Vec::new();
    for path in data {
        if path.extension().is_some_and(|e| e == "pack") {
            packed(path, &splits, &mut places)?;
        } else {
            let dataset = Dataset::read(std::slice::from_ref(path))?;
            let films = dataset.films.into_iter().filter(|film| splits.contains(&film.row.split()));
            places.extend(films.map(|film| Place::File(film.path)));
        }
    }
    if places.is_empty() {
        return Err(Error::new(ErrorKind::Data, "--data has no films of the splits to train on")
            .hint("train.splits in the configuration names them"));
    }
    Ok(Films { places: Arc::new(places), limits })
}

fn packed(path: &Path, splits: &[Split], places: &mut Vec<Place>) -> Result<()> {
    let pack = Arc::new(Pack::open(path)?);
    let chosen = (0..pack.len()).filter(|&i| pack.split(i).is_some_and(|split| splits.contains(&split)));
    places.extend(chosen.map(|i| Place::Packed(pack.clone(), i)));
    Ok(())
}
