//! `compare`: two model files over the films of a manifest.

mod decisions;
mod films;
mod report;
mod text;
mod timing;

use std::path::{Path, PathBuf};

use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::{Dataset, Split};
use rad_dino_train::evaluate::overlap::overlaps;
use rad_dino_train::evaluate::scores::{Detail, Measure, measures};
use rad_dino_train::evaluate::{Overlaps, Predictions};
use rad_dino_train::features::Encoder;

pub use decisions::Decision;
pub use report::{Comparison, File, Likeness, Row};
pub use text::text;
pub use timing::Milliseconds;

/// What to compare on.
#[derive(Clone, Debug)]
pub struct Options {
    /// Manifests.
    pub data: Vec<PathBuf>,
    /// Split that is measured.
    pub split: Split,
    /// At most so many films, evenly spaced; all when None.
    pub films: Option<usize>,
    /// Rounds of the timing; in each, both models see the same film, one after the other.
    pub rounds: usize,
    /// Threads of each model; 0 = one per core.
    pub threads: usize,
    /// Limits on films.
    pub limits: Limits,
}

/// Compares `candidate` with `reference`. `memory` tells the peak memory, MB, of a process that runs only the given
/// model, if it can; `progress` is told films done and in all; `skipped` which films could not be read.
///
/// # Errors
/// A model that is refused or has no manifest, two models of other shapes, no readable film.
pub fn compare(
    reference: &Path,
    candidate: &Path,
    options: &Options,
    memory: impl Fn(&Path) -> Option<f64>,
    progress: impl FnMut(usize, usize),
    mut skipped: impl FnMut(&Path, &Error),
) -> Result<Comparison> {
    let mut dataset = Dataset::read(&options.data)?;
    dataset.retain(|film| film.row.split() == options.split);
    thin(&mut dataset, options.films);
    let load = |path: &Path| Encoder::from_model(path, options.limits, options.threads);
    let (a, b) = (load(reference)?, load(candidate)?);
    let (one, two) = (a.engine().shape(), b.engine().shape());
    if (one.embed_dim, one.patches, one.prefix_tokens) != (two.embed_dim, two.patches, two.prefix_tokens) {
        let message = format!("{} and {} give other tokens", reference.display(), candidate.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("compare models of one architecture and image size"));
    }
    let seen = films::run(&a, &b, &mut dataset, progress, &mut skipped)?;
    let (encoder_a, encoder_b) = timing::alternate(&a, &b, &seen.first, options.rounds)?;
    let files = [(reference, &a, encoder_a), (candidate, &b, encoder_b)].map(|(path, encoder, encoder_ms)| {
        let bytes = std::fs::metadata(path).map(|m| m.len()).map_err(|e| Error::io(path, e))?;
        Ok(File::new(path, encoder, bytes, memory(path), encoder_ms))
    });
    let [file_a, file_b] = files;
    let mut predictions_a = Predictions::of_model(&a, &seen.reference);
    let mut predictions_b = Predictions::of_model(&b, &seen.candidate);
    predictions_a.segmentation = masks(&a, &dataset, &mut skipped)?;
    predictions_b.segmentation = masks(&b, &dataset, &mut |_, _| {})?;
    let mut metrics = Vec::new();
    for source in dataset.sources() {
        let rows: Vec<usize> = (0..dataset.films.len()).filter(|&i| dataset.films[i].row.source == source).collect();
        if rows.is_empty() {
            continue;
        }
        let of = |predictions| measures(&dataset, source, &rows, predictions, Detail::Full);
        let (ours, theirs) = (of(&predictions_a), of(&predictions_b));
        metrics.extend(ours.iter().filter_map(|measure| row(source, measure, &theirs)));
    }
    let decisions = decisions::decisions(&predictions_a, &predictions_b, dataset.films.len());
    Ok(Comparison::new(file_a?, file_b?, options.split, seen.likeness, seen.failed, metrics, decisions))
}

fn row(source: &str, measure: &Measure, theirs: &[Measure]) -> Option<Row> {
    let same =
        |other: &&Measure| (other.task, &other.label, other.name) == (measure.task, &measure.label, measure.name);
    let other = theirs.iter().find(same)?;
    Some(Row {
        source: source.to_owned(),
        task: measure.task,
        label: measure.label.clone(),
        metric: measure.name,
        n: measure.films(),
        positives: measure.positives(),
        reference: measure.estimate(),
        candidate: other.estimate(),
        difference: measure.difference(other),
    })
}

fn masks(encoder: &Encoder, dataset: &Dataset, skipped: &mut impl FnMut(&Path, &Error)) -> Result<Option<Overlaps>> {
    let labels = encoder.engine().manifest().map(|m| m.heads.segmentation.clone()).unwrap_or_default();
    let mut failed = Vec::new();
    let found = overlaps(encoder, &labels, dataset, &mut failed, true)?;
    failed.iter().for_each(|(path, error)| skipped(path, error));
    Ok(found)
}

/// Keeps at most `most` films, evenly spaced.
fn thin(dataset: &mut Dataset, most: Option<usize>) {
    let all = dataset.films.len();
    let Some(most) = most.filter(|most| *most < all) else { return };
    let mut at = 0;
    dataset.retain(|_| {
        let keep = at * most / all != (at + 1) * most / all;
        at += 1;
        keep
    });
}
