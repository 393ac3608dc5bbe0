//! `calibrate`: probabilities, thresholds and the out-of-distribution limit of a model file, fitted to a site's own films.

mod file;
mod plot;
mod refit;

use std::path::{Path, PathBuf};

use rad_dino_edge::model::manifest::Manifest;
use rad_dino_edge::output::write::atomic;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::{Dataset, Split};
use rad_dino_train::evaluate::Predictions;
use rad_dino_train::evaluate::scores::{Detail, scores};
use rad_dino_train::features::Encoder;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::features::features;

pub use refit::{Fitted, MIN_CLASS, MIN_FILMS};

/// What to fit on.
#[derive(Clone, Debug)]
pub struct Options {
    /// Manifests of the site.
    pub data: Vec<PathBuf>,
    /// Splits that are fitted on; test always stays out and is what errors are measured on.
    pub fit: Vec<Split>,
    /// Version in the new manifest; the old one and `+site` when None.
    pub model_version: Option<String>,
    /// Where the reliability diagrams (SVG) go.
    pub plot: Option<PathBuf>,
    /// Threads of the engine; 0 = one per core.
    pub threads: usize,
    /// Limits on films.
    pub limits: Limits,
}

/// What became of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Outcome {
    schema: &'static str,
    /// sha256 (hex) of the model it was made from.
    pub parent_sha256: String,
    /// sha256 (hex) of the new file.
    pub sha256: String,
    /// Version of the new file.
    pub version: String,
    /// Films fitted on and films measured on.
    pub films: [usize; 2],
    /// Films that could not be read.
    pub failed: usize,
    /// Label by label.
    pub labels: Vec<Fitted>,
    /// The limit before and after.
    pub limit: Option<[f64; 2]>,
    /// Share of the films measured on that is flagged, before and after.
    pub flagged: Option<[f64; 2]>,
    /// What stays as it is, and why.
    pub notes: Vec<String>,
}

/// Fits `model` to the films of `options` and writes `out`.
///
/// # Errors
/// A model that is refused or has no heads, no readable film, too few labels for anything, a failed write.
pub fn calibrate(
    model: &Path,
    out: &Path,
    options: &Options,
    progress: impl FnMut(usize, usize),
    skipped: impl FnMut(&Path, &Error),
) -> Result<Outcome> {
    let encoder = Encoder::from_model(model, options.limits, options.threads)?;
    let manifest = encoder.engine().manifest().cloned();
    let mut manifest = manifest.ok_or_else(|| Error::new(ErrorKind::Model, "the file has no manifest"))?;
    let mut dataset = Dataset::read(&options.data)?;
    let used = |split| split == Split::Test || options.fit.contains(&split);
    dataset.retain(|film| used(film.row.split()));
    let (features, failed) = features(&encoder, &mut dataset, progress, skipped)?;
    let before = Predictions::of_model(&encoder, &features);
    let mut refit = refit::refit(&mut manifest, &dataset, &features, &before);
    if refit.labels.is_empty() && refit.limit.is_none() {
        let message = format!("too few labelled films to fit anything: {}", refit.notes.join("; "));
        return Err(Error::new(ErrorKind::Data, message).hint(format!(
            "a label needs {MIN_CLASS} films with and {MIN_CLASS} without it in the splits fitted on, the limit {MIN_FILMS} films"
        )));
    }
    let bytes = std::fs::read(model).map_err(|e| Error::io(model, e))?;
    let parent_sha256 = hex(&bytes);
    parent_sha256.clone_into(&mut manifest.parent_sha256);
    manifest.version = options.model_version.clone().unwrap_or_else(|| format!("{}+site", manifest.version));
    let after = before.with_manifest(&manifest, &features);
    metrics(&mut manifest, &dataset, &before, &after, &refit.labels);
    let test = dataset.of_split(Split::Test);
    let share = |p: &Predictions| {
        let flags = p.out_of_distribution.as_ref().filter(|_| !test.is_empty())?;
        Some(test.iter().filter(|&&i| flags[i]).count() as f64 / test.len() as f64)
    };
    let flagged = share(&before).zip(share(&after)).map(|(a, b)| [a, b]);
    let json = serde_json::to_string(&manifest)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("manifest: {e}")).source(e))?;
    let written = file::with_manifest(&bytes, &json).map_err(|e| e.at(model.display()))?;
    if let Some(plot) = &options.plot {
        atomic(plot, |file| file.write_all(plot::svg(&refit.labels).as_bytes()))?;
    }
    atomic(out, |file| file.write_all(&written))?;
    let films = [dataset.films.len() - test.len(), test.len()];
    let (labels, notes) = (std::mem::take(&mut refit.labels), std::mem::take(&mut refit.notes));
    Ok(Outcome {
        schema: "rad-dino-quantize/calibrate/1",
        parent_sha256,
        sha256: hex(&written),
        version: manifest.version,
        films,
        failed,
        labels,
        limit: refit.limit,
        flagged,
        notes,
    })
}

/// What depends on probabilities is measured again, on test; what does not, stays.
fn metrics(manifest: &mut Manifest, dataset: &Dataset, before: &Predictions, after: &Predictions, labels: &[Fitted]) {
    const OF_DECISIONS: [&str; 4] = ["ece", "sensitivity", "specificity", "accuracy"];
    let limit = before.out_of_distribution != after.out_of_distribution;
    let stale = |task: &str, label: &str, metric: &str| {
        let refitted = labels.iter().any(|l| l.task == task && l.label == label);
        refitted && OF_DECISIONS.contains(&metric) || limit && task == "out_of_distribution"
    };
    manifest.metrics.retain(|m| !stale(&m.task, &m.label, &m.metric));
    for source in dataset.sources() {
        let test = dataset.of_split(Split::Test).into_iter();
        let rows: Vec<usize> = test.filter(|&i| dataset.films[i].row.source == source).collect();
        let fresh = scores(dataset, source, &rows, after, Detail::Full).into_iter();
        manifest.metrics.extend(fresh.filter(|m| stale(&m.task, &m.label, &m.metric)).map(|mut metric| {
            source.clone_into(&mut metric.source);
            metric
        }));
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
