//! `infer`: findings, attributes, heat maps, masks.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use super::model::{self, Loaded};
use super::options::{Common, Format, ModelChoice, ScanLimits, progress};
use super::{Tally, json, milliseconds, print};
use crate::engine::Outputs;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Manifest;
use crate::model::manifest::Heads;
use crate::output::json::{
    Answer, Embedding, EngineInfo, Failure, INFER_SCHEMA, Input, Model, Region, Timing, Warning,
};
use crate::output::{heatmap, mask, npy, text};
use crate::preprocess::{Geometry, preprocess, preprocess_at};
use crate::probe::{self, Distance};
use crate::report;
use crate::scan::{self, Scan};

/// Findings, attributes and heat maps for scans (PNG, JPEG; files or folders).
#[derive(Debug, Args)]
pub struct Infer {
    /// Scans or folders of scans.
    #[arg(required = true, value_name = "SCAN")]
    scans: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelChoice,
    /// text or json (one object a line and scan).
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write an overlay of the CLS token's attention; with several scans a folder.
    #[arg(long, value_name = "PNG")]
    heatmap: Option<PathBuf>,
    /// Draw the patches' evidence for this finding instead.
    #[arg(long, value_name = "LABEL", requires = "heatmap")]
    heatmap_for: Option<String>,
    /// Write the CLS token, f32 [D]; with several scans a folder.
    #[arg(long, value_name = "NPY")]
    embedding: Option<PathBuf>,
    /// Write the mask (0 and 255, of the scan's own size); with several scans a folder. Of a model with several regions
    /// each gets its own file, its label before the extension. The sides of a long scan are looked at too, and
    /// area_fraction is then the mask's; without this option it is what the centre crop shows.
    #[arg(long, value_name = "PNG")]
    segmentation: Option<PathBuf>,
    /// Add a written report.
    #[arg(long)]
    report: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    limits: ScanLimits,
}

/// What stays the same for all scans of a call.
struct Session<'a> {
    loaded: &'a Loaded,
    manifest: &'a Manifest,
    distance: Option<Distance>,
    evidence: Option<usize>,
}

impl Infer {
    pub(super) fn run(&self) -> Result<Tally> {
        let loaded = model::load(&self.model, &self.common, None)?;
        let manifest = loaded.engine.manifest().ok_or_else(|| {
            Error::new(ErrorKind::Model, format!("{}: the file has no manifest: labels and preprocessing are unknown", loaded.name))
                .hint("make a model file with rad-dino-quantize convert; foreign graphs run in `bench` and `embed --preprocessor`")
        })?;
        let session = self.session(&loaded, manifest)?;
        let scans = scan::collect(&self.scans)?;
        let several = scans.len() > 1 || self.scans.iter().any(|path| path.is_dir());
        if several {
            for folder in [&self.heatmap, &self.embedding, &self.segmentation].into_iter().flatten() {
                std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
            }
        }
        let bar = progress(scans.len(), self.common.quiet);
        let mut tally = Tally::default();
        for path in &scans {
            let shown = path.to_string_lossy();
            match self.one(&session, path, several) {
                Ok(answer) => {
                    tally.done += 1;
                    let line = match self.format {
                        Format::Json => json(&answer)?,
                        Format::Text => text::answer(&answer),
                    };
                    bar.suspend(|| print(&line))?;
                }
                Err(error) => {
                    tally.failed += 1;
                    bar.suspend(|| eprintln!("error: {error}"));
                    if self.format == Format::Json {
                        bar.suspend(|| json(&Failure::new(&shown, &error)).and_then(|line| print(&line)))?;
                    }
                }
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(tally)
    }

    fn session<'a>(&self, loaded: &'a Loaded, manifest: &'a Manifest) -> Result<Session<'a>> {
        let usage = |message: String, hint: String| Error::new(ErrorKind::Usage, message).hint(hint);
        if self.segmentation.is_some() && manifest.heads.segmentation.is_empty() {
            return Err(usage("this model has no segmentation head".into(), "leave --segmentation out".into()));
        }
        let labels: Vec<_> = manifest.heads.findings.iter().map(|f| f.label.as_str()).collect();
        let evidence = match &self.heatmap_for {
            None => None,
            Some(label) => Some(labels.iter().position(|l| l == label).ok_or_else(|| {
                usage(format!("the model has no finding `{label}`"), format!("it has: {}", labels.join(", ")))
            })?),
        };
        let width = loaded.engine.shape().embed_dim;
        let distance = manifest.out_of_distribution.as_ref().map(|entry| Distance::new(entry, width)).transpose()?;
        Ok(Session { loaded, manifest, distance, evidence })
    }

    fn one(&self, session: &Session<'_>, path: &Path, several: bool) -> Result<Answer> {
        let start = Instant::now();
        let scan = scan::read(path, &self.limits.limits())?;
        let read = start.elapsed();
        let engine = &session.loaded.engine;
        let size = engine.shape().image_size;
        let mut pixels = vec![0.0; 3 * size * size];
        let clock = Instant::now();
        let geometry = preprocess(&scan, &session.manifest.preprocessing, &mut pixels)?;
        let preprocessed = clock.elapsed();
        let clock = Instant::now();
        let outputs = engine.run(&pixels, 1)?;
        let encoded = clock.elapsed();

        let clock = Instant::now();
        let cls = &outputs.hidden()[..engine.shape().embed_dim];
        let heads = &session.manifest.heads;
        let output = |head: &str| outputs.get(Heads::output_name(head)).map(|(_, values)| values);
        let findings = output("findings").map(|logits| probe::findings(heads, logits));
        let attributes = probe::attributes(heads, output("sex"), output("age"), output("view"));
        let warnings: Vec<_> = session.distance.iter().filter_map(|distance| unlike(distance, cls)).collect();
        let interpreted = clock.elapsed();
        let clock = Instant::now();
        let report = (self.report && warnings.is_empty())
            .then(|| report::template(findings.as_deref().unwrap_or(&[]), &attributes));
        let reported = clock.elapsed();
        let norm = cls.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let timing = Timing {
            read: milliseconds(read),
            preprocess: milliseconds(preprocessed),
            encoder: milliseconds(encoded.saturating_sub(engine.heads_time())),
            heads: milliseconds(interpreted + engine.heads_time()),
            report: milliseconds(reported),
            total: milliseconds(start.elapsed()),
        };
        self.write_files(session, path, several, &scan, &geometry, &outputs)?;
        let segmentation = match &self.segmentation {
            _ if heads.segmentation.is_empty() => None,
            None => Some(regions(heads, &outputs, &geometry)?),
            Some(target) => {
                Some(draw_masks(session, &place(target, path, "png", several), &scan, &geometry, &outputs)?)
            }
        };
        Ok(Answer {
            schema: INFER_SCHEMA,
            input: Input::new(&path.to_string_lossy(), &scan),
            model: Model::new(engine, &session.loaded.name),
            engine: EngineInfo::new(engine),
            findings,
            attributes,
            segmentation,
            report,
            embedding: Embedding { dim: cls.len(), l2_norm: norm },
            timing_ms: timing,
            warnings,
        })
    }

    fn write_files(
        &self,
        session: &Session<'_>,
        path: &Path,
        several: bool,
        scan: &Scan,
        geometry: &Geometry,
        outputs: &Outputs,
    ) -> Result<()> {
        let engine = &session.loaded.engine;
        if let Some(target) = &self.heatmap {
            let values = match session.evidence {
                None => engine.cls_attention(),
                Some(output) => engine
                    .patch_evidence("findings", output, outputs.hidden())
                    .ok_or_else(|| Error::new(ErrorKind::Usage, "the graph has no findings head"))?,
            };
            let grid = values.len().isqrt();
            heatmap::write(&place(target, path, "png", several), scan, geometry, &values, grid)?;
        }
        if let Some(target) = &self.embedding {
            let width = engine.shape().embed_dim;
            npy::write(&place(target, path, "npy", several), &[width], &outputs.hidden()[..width])?;
        }
        Ok(())
    }
}

/// The logits [side, side] of each channel of the first image.
fn channels(outputs: &Outputs) -> impl Iterator<Item = (usize, &[f32])> {
    let output = outputs.get(Heads::output_name("segmentation"));
    let side = output.and_then(|(shape, _)| shape.last()).copied().unwrap_or(0);
    let values = output.map_or(&[][..], |(_, values)| values);
    values.chunks_exact((side * side).max(1)).map(move |channel| (side, channel))
}

/// Looks at the windows that the centre crop leaves out, writes one mask a label, and says how much each marks.
fn draw_masks(
    session: &Session<'_>,
    target: &Path,
    scan: &Scan,
    geometry: &Geometry,
    outputs: &Outputs,
) -> Result<Vec<Region>> {
    let engine = &session.loaded.engine;
    let side = engine.shape().image_size;
    let mut pixels = vec![0.0; 3 * side * side];
    let mut further = Vec::new();
    for window in geometry.windows() {
        preprocess_at(scan, &session.manifest.preprocessing, &window, &mut pixels)?;
        further.push((window, engine.run(&pixels, 1)?));
    }
    let labels = &session.manifest.heads.segmentation;
    let mut regions = Vec::with_capacity(labels.len());
    for (channel, label) in labels.iter().enumerate() {
        let all = std::iter::once((geometry, outputs)).chain(further.iter().map(|(window, outputs)| (window, outputs)));
        let looks = all.filter_map(|(geometry, outputs)| {
            let (cells, logits) = channels(outputs).nth(channel)?;
            Some((cells, mask::Look { geometry: *geometry, logits }))
        });
        let (cells, looks): (Vec<usize>, Vec<_>) = looks.unzip();
        let cells = cells.first().copied().unwrap_or(0);
        let mask = mask::draw(&looks, cells, cells)?;
        let path = if labels.len() == 1 { target.to_owned() } else { of_label(target, label) };
        mask::write(&path, &mask)?;
        regions.push(Region { label: label.clone(), area_fraction: mask::share(&mask) });
    }
    Ok(regions)
}

fn regions(heads: &Heads, outputs: &Outputs, geometry: &Geometry) -> Result<Vec<Region>> {
    let regions = heads.segmentation.iter().zip(channels(outputs)).map(|(label, (side, logits))| {
        Ok(Region { label: label.clone(), area_fraction: mask::area_fraction(geometry, logits, side, side)? })
    });
    regions.collect()
}

/// `lungs.png` of the label `left` is `lungs.left.png`.
fn of_label(target: &Path, label: &str) -> PathBuf {
    let extension = target.extension().unwrap_or_else(|| "png".as_ref()).to_owned();
    target.with_extension("").with_added_extension(label).with_added_extension(extension)
}

/// With several scans, `<target>/<stem>.<extension>`; with one, the target itself.
fn place(target: &Path, scan: &Path, extension: &str, several: bool) -> PathBuf {
    if !several {
        return target.to_path_buf();
    }
    let stem = scan.file_stem().unwrap_or(scan.as_os_str());
    target.join(stem).with_added_extension(extension)
}

fn unlike(distance: &Distance, cls: &[f32]) -> Option<Warning> {
    let d = distance.of(cls);
    (d > distance.limit() || d.is_nan()).then(|| Warning {
        kind: "out_of_distribution",
        message: format!(
            "this does not look like the chest films the model was trained on (distance {d:.1}, limit {:.1}); do not rely on the answer",
            distance.limit()
        ),
    })
}
