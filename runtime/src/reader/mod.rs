//! A loaded model that reads scans: what `infer`, `watch`, `listen` and `serve` share.

mod maps;
mod masks;

use std::time::{Duration, Instant};

use image::{GrayImage, RgbImage};

use crate::engine::heads::Heads as Features;
use crate::engine::{Engine, Outputs};
use crate::error::{Error, ErrorKind, Result};
use crate::model::Manifest;
use crate::model::manifest::Heads;
use crate::output::heatmap;
use crate::output::json::{Answer, Embedding, EngineInfo, INFER_SCHEMA, Input, Model, Timing, Warning, milliseconds};
use crate::preprocess::{Geometry, preprocess};
use crate::probe::{self, Attributes, Distance, FindingResult};
use crate::report::{self, Author, Report, Writer};
use crate::scan::Scan;

pub use maps::{Crop, Evidence, Maps};

/// A model with labels, ready to read scans one after another.
///
/// Threads may share it: the encoder's passes take turns, in the order in which they are asked for (two at once after
/// [`Reader::for_many`]), and all else (resizing, the report, pictures) is done beside them, by who asked.
#[derive(Debug)]
pub struct Reader {
    engine: Engine,
    manifest: Manifest,
    name: String,
    distance: Option<Distance>,
    writer: Option<Writer>,
}

/// What is wanted beside findings and attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// A picture of where the model looked.
    pub heatmap: Option<HeatmapOf>,
    /// Masks of the scan's own size; the sides of a long scan are looked at too, and area_fraction is then the mask's.
    pub masks: bool,
    /// A written report.
    pub report: bool,
    /// The values behind all heat maps: who draws them needs no second look.
    pub maps: bool,
}

/// What a heat map shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeatmapOf {
    /// The CLS token's attention.
    Attention,
    /// The patches' evidence for a finding, by label.
    Finding(String),
}

/// All that one look at a scan gave.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What is printed.
    pub answer: Answer,
    /// CLS token, [D].
    pub cls: Vec<f32>,
    /// When wished for; the long side at most 1024.
    pub heatmap: Option<RgbImage>,
    /// What the heat map shows.
    pub heatmap_of: Option<HeatmapOf>,
    /// When wished for, one a label, 0 and 255, of the scan's own size.
    pub masks: Vec<(String, GrayImage)>,
    /// When wished for.
    pub maps: Option<Maps>,
}

impl Reader {
    /// Takes over `engine`; `name` (a file's stem) is for people.
    ///
    /// # Errors
    /// `Model` when the file has no manifest or its distance does not fit.
    pub fn new(engine: Engine, name: &str) -> Result<Self> {
        let manifest = engine.manifest().cloned().ok_or_else(|| {
            Error::new(ErrorKind::Model, format!("{name}: the file has no manifest: labels and preprocessing are unknown"))
                .hint("make a model file with rad-dino-quantize convert; foreign graphs run in `bench` and `embed --preprocessor`")
        })?;
        let width = engine.shape().embed_dim;
        let distance = manifest.out_of_distribution.as_ref().map(|entry| Distance::new(entry, width)).transpose()?;
        Ok(Reader { engine, manifest, name: name.to_string(), distance, writer: None })
    }

    /// Made ready for many callers at once: see [`Engine::for_many`].
    ///
    /// # Errors
    /// As [`Engine::for_many`].
    pub fn for_many(mut self) -> Result<Self> {
        self.engine = self.engine.for_many()?;
        Ok(self)
    }

    /// Reports are worded by `author` from now on; without one they are fixed sentences. `grounded` leaves out what the
    /// probes contradict.
    ///
    /// # Errors
    /// `Model` when it was made with another encoder.
    pub fn with_author(mut self, author: Author, grounded: bool) -> Result<Self> {
        self.writer = Some(Writer::new(author, self.engine.shape(), &self.manifest.parent_sha256, grounded)?);
        Ok(self)
    }

    /// The model's labels, thresholds and preprocessing.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What runs the model.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The model as answers name it.
    pub fn model(&self) -> Model {
        Model::new(&self.engine, &self.name)
    }

    /// Whether the model can give what is wished for.
    ///
    /// # Errors
    /// `Usage` naming what it lacks.
    pub fn check(&self, wish: &Wish) -> Result<()> {
        let usage = |message: String, hint: String| Err(Error::new(ErrorKind::Usage, message).hint(hint));
        if wish.masks && self.manifest.heads.segmentation.is_empty() {
            return usage("this model has no segmentation head".into(), "leave the mask (--segmentation) out".into());
        }
        if let Some(HeatmapOf::Finding(label)) = &wish.heatmap
            && self.finding(label).is_none()
        {
            let labels: Vec<_> = self.manifest.heads.findings.iter().map(|f| f.label.as_str()).collect();
            return usage(format!("the model has no finding `{label}`"), format!("it has: {}", labels.join(", ")));
        }
        Ok(())
    }

    fn finding(&self, label: &str) -> Option<usize> {
        self.manifest.heads.findings.iter().position(|f| f.label == label)
    }

    /// Reads a decoded scan. `path` and `decoding`, the time that its decoding took, go into the answer as they are.
    ///
    /// # Errors
    /// Those of [`Reader::check`]; `Limits` for a scan that preprocessing refuses; `Model` for one whose numbers are not
    /// finite; `Internal`.
    pub fn read(&self, path: &str, scan: &Scan, decoding: Duration, wish: &Wish) -> Result<Reading> {
        self.check(wish)?;
        let start = Instant::now();
        let engine = &self.engine;
        let size = engine.shape().image_size;
        let mut pixels = vec![0.0; 3 * size * size];
        let geometry = preprocess(scan, &self.manifest.preprocessing, &mut pixels)?;
        let preprocessed = start.elapsed();
        let clock = Instant::now();
        let outputs = engine.run(&pixels, 1)?;
        outputs.check_finite()?;
        let encoded = clock.elapsed();

        let clock = Instant::now();
        let cls = &outputs.hidden()[..engine.shape().embed_dim];
        let heads = &self.manifest.heads;
        let output = |head: &str| outputs.get(Heads::output_name(head)).map(|(_, values)| values);
        let findings = output("findings").map(|logits| probe::findings(heads, logits));
        let attributes = probe::attributes(heads, output("sex"), output("age"), output("view"));
        let features = Features::features(outputs.hidden(), engine.shape().prefix_tokens, cls.len());
        let mut warnings: Vec<_> =
            self.distance.iter().filter_map(|distance| unlike(distance, cls, &features)).collect();
        let interpreted = clock.elapsed();
        let clock = Instant::now();
        // a picture that is no chest film gets no words about a chest
        let report = match wish.report && warnings.is_empty() {
            true => Some(self.report(&outputs, findings.as_deref().unwrap_or(&[]), &attributes, &mut warnings)?),
            false => None,
        };
        let reported = clock.elapsed();
        let norm = cls.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
        let timing_ms = Timing {
            read: milliseconds(decoding),
            preprocess: milliseconds(preprocessed),
            encoder: milliseconds(encoded.saturating_sub(outputs.heads_time())),
            heads: milliseconds(interpreted + outputs.heads_time()),
            report: milliseconds(reported),
            total: milliseconds(decoding + start.elapsed()),
        };
        let cls = cls.to_vec();
        let heatmap = wish.heatmap.as_ref().map(|of| self.heatmap(of, scan, &geometry, &outputs)).transpose()?;
        let maps = wish.maps.then(|| self.maps(&geometry, &outputs)).transpose()?;
        let (masks, segmentation) = self.regions(scan, &geometry, &outputs, wish.masks)?;
        let answer = Answer {
            schema: INFER_SCHEMA,
            input: Input::new(path, scan),
            model: self.model(),
            engine: EngineInfo::new(engine),
            findings,
            attributes,
            segmentation,
            report,
            embedding: Embedding { dim: cls.len(), l2_norm: norm },
            timing_ms,
            warnings,
        };
        let heatmap_of = wish.heatmap.clone();
        Ok(Reading { answer, cls, heatmap, heatmap_of, masks, maps })
    }

    /// The author's report, or the template where there is none or nothing of its text is left.
    fn report(
        &self,
        outputs: &Outputs,
        findings: &[FindingResult],
        attributes: &Attributes,
        warnings: &mut Vec<Warning>,
    ) -> Result<Report> {
        if let Some(writer) = &self.writer {
            let shape = self.engine.shape();
            let patches = outputs.hidden().get(shape.prefix_tokens * shape.embed_dim..).unwrap_or_default();
            let cls = &outputs.hidden()[..shape.embed_dim];
            let (report, own) = writer.write(cls, &patches[..shape.patches * shape.embed_dim], findings)?;
            warnings.extend(own);
            if let Some(report) = report {
                return Ok(report);
            }
        }
        Ok(report::template(findings, attributes))
    }

    fn heatmap(&self, of: &HeatmapOf, scan: &Scan, geometry: &Geometry, outputs: &Outputs) -> Result<RgbImage> {
        let values = match of {
            HeatmapOf::Attention => outputs.cls_attention().to_vec(),
            HeatmapOf::Finding(label) => self
                .finding(label)
                .and_then(|output| self.engine.patch_evidence("findings", output, outputs.hidden()))
                .ok_or_else(|| Error::new(ErrorKind::Usage, "the graph has no findings head"))?,
        };
        heatmap::draw(scan, geometry, &values, values.len().isqrt())
    }
}

fn unlike(distance: &Distance, cls: &[f32], features: &[f32]) -> Option<Warning> {
    if let Some(label) = distance.detected(features) {
        let message = match label {
            "upside_down" => "this film looks upside down; turn it, and do not rely on the answer",
            "sideways" => "this film seems to lie on its side; turn it, and do not rely on the answer",
            "inverted" => "this film looks inverted (bones dark); invert it, and do not rely on the answer",
            _ => "this does not look like the chest films the model was trained on; do not rely on the answer",
        };
        return Some(Warning { kind: "out_of_distribution", message: message.into() });
    }
    let d = distance.of(cls);
    (d > distance.limit() || d.is_nan()).then(|| Warning {
        kind: "out_of_distribution",
        message: format!(
            "this does not look like the chest films the model was trained on (distance {d:.1}, limit {:.1}); do not rely on the answer",
            distance.limit()
        ),
    })
}
