//! `retrieval`: a model file and films with reports in, a file that finds the report of the most similar film out.

use std::path::{Path, PathBuf};

use rad_dino_edge::model::manifest::NOTICE;
use rad_dino_edge::report::retrieval::{REPORTS_KEY, RETRIEVAL_KEY, RETRIEVAL_SCHEMA, RetrievalManifest};
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::{Dataset, Split};
use rad_dino_train::features::Encoder;
use rad_dino_train::report::corpus::{self, training_data};
use rad_dino_train::report::{Cleaning, Removed};

use crate::features::features;
use crate::onnx;

/// What to make the file of.
#[derive(Clone, Debug)]
pub struct Options {
    /// Manifests with reports; the films of split train are kept.
    pub data: Vec<PathBuf>,
    /// What is taken out of the reports.
    pub cleaning: Cleaning,
    /// Films without a report get one composed from their labels.
    pub compose: bool,
    /// Name in the manifest; the file's stem when None.
    pub name: Option<String>,
    /// Version in the manifest.
    pub version: String,
    /// Licence of the reports.
    pub licence: String,
    /// Threads of the engine; 0 = one per core.
    pub threads: usize,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Size of the file.
    pub bytes: u64,
    /// sha256 (hex) of the file.
    pub sha256: String,
    /// Films in it.
    pub films: usize,
    /// Films that could not be read.
    pub failed: usize,
    /// What was taken out of the reports.
    pub removed: Removed,
    /// The manifest inside the file.
    pub manifest: RetrievalManifest,
}

/// Reads the films of split train with `model` and writes their CLS tokens and reports to `out`.
///
/// # Errors
/// A model that is refused, no film with a report that can be read, a failed write.
pub fn retrieval(
    model: &Path,
    out: &Path,
    options: &Options,
    progress: impl FnMut(usize, usize),
    skipped: impl FnMut(&Path, &Error),
) -> Result<Summary> {
    let encoder = Encoder::from_model(model, Limits::default(), options.threads)?;
    let mut dataset = Dataset::read(&options.data)?;
    dataset.retain(|film| film.row.split() == Split::Train);
    let mut removed = Removed::default();
    let texts = corpus::texts(&dataset, &options.cleaning, options.compose, &mut Removed::default());
    corpus::retain(&mut dataset, &texts);
    if dataset.films.is_empty() {
        return Err(Error::new(ErrorKind::Data, "no film of split train has a report")
            .hint("give --data with a report column, or --compose to make reports of labels"));
    }
    let (features, failed) = features(&encoder, &mut dataset, progress, skipped)?;
    let texts = corpus::texts(&dataset, &options.cleaning, options.compose, &mut removed);
    let width = encoder.dim();
    let mut films = Vec::with_capacity(texts.len() * width);
    for text in &texts {
        let cls = &features.row(text.film)[..width];
        let length = cls.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        films.extend(cls.iter().map(|x| (f64::from(*x) / length) as f32));
    }
    let manifest = RetrievalManifest {
        schema: RETRIEVAL_SCHEMA.to_owned(),
        name: options
            .name
            .clone()
            .unwrap_or_else(|| out.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())),
        version: options.version.clone(),
        encoder_width: width,
        image_size: encoder.engine().shape().image_size,
        encoder_sha256: encoder.engine().manifest().map(|m| m.parent_sha256.clone()).unwrap_or_default(),
        training_data: training_data(&dataset, &texts),
        licence: options.licence.clone(),
        notice: NOTICE.to_owned(),
    };
    let internal = |e: serde_json::Error| Error::new(ErrorKind::Internal, "JSON").source(e);
    let about = serde_json::to_string(&manifest).map_err(internal)?;
    let reports: Vec<&str> = texts.iter().map(|text| text.text.as_str()).collect();
    let reports = serde_json::to_string(&reports).map_err(internal)?;
    let metadata = [(RETRIEVAL_KEY, about.as_str()), (REPORTS_KEY, reports.as_str())];
    let (bytes, sha256) = onnx::write_retrieval(out, &films, width, &metadata)?;
    Ok(Summary { bytes, sha256, films: texts.len(), failed, removed, manifest })
}
