//! `rad-dino-train evaluate`.

#[cfg(feature = "burn")]
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rad_dino_edge::checkpoint::{Checkpoint, Probes};
use rad_dino_edge::model::manifest::OutOfDistribution;
#[cfg(feature = "burn")]
use rad_dino_edge::model::manifest::{Finding, Metric};
#[cfg(feature = "burn")]
use rad_dino_edge::probe::FindingResult;
use rad_dino_edge::report::decoder::Decoder;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::options::{Common, FeatureChoice, Featured, ScanLimits, featured};
use super::{Tally, json, print};
#[cfg(feature = "burn")]
use crate::data::Film;
use crate::data::pose::Pose;
use crate::data::{Dataset, Split};
use crate::evaluate::fresh::{self, Wanted};
use crate::evaluate::overlap::overlaps;
#[cfg(feature = "burn")]
use crate::evaluate::written::{self, Material};
use crate::evaluate::{Floor, Predictions, report, text};
use crate::features::random::Shape;
use crate::features::{Encoder, FeatureSource, Pixels, Posed};
use crate::probe::{Columns, ood};
#[cfg(feature = "burn")]
use crate::report::corpus::texts;
#[cfg(feature = "burn")]
use crate::report::image_tokens::ImageTokens;
#[cfg(feature = "burn")]
use crate::report::{Cleaning, Removed};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SplitChoice {
    Train,
    Val,
    Test,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For a person.
    Text,
    /// For a program: one object a line.
    Json,
}

/// Measures heads against the truth, one source at a time, with 95 % intervals over patients.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Checkpoint folder or model file.
    #[arg(long, value_name = "DIR|ONNX")]
    checkpoint: PathBuf,
    /// Films; may be given several times.
    #[arg(long, value_name = "CSV", required = true)]
    data: Vec<PathBuf>,
    /// Which films are measured.
    #[arg(long, value_enum, default_value = "test")]
    split: SplitChoice,
    /// Beside the model also a random encoder of the same shape and 32×32 pixels, with fresh heads for each source.
    #[arg(long)]
    floor: bool,
    /// Fresh heads for each source, fitted on its own train split, instead of the checkpoint's.
    #[arg(long)]
    fit: bool,
    /// Beside the upright films also these held wrongly (half turn, flipped, turned to both sides, inverted), and how many
    /// of them the out-of-distribution warning flags.
    #[arg(long)]
    ood: bool,
    /// What fresh heads see.
    #[arg(long, value_enum, default_value = "cls_mean")]
    features: FeatureChoice,
    /// Input side in pixels of a checkpoint folder; without it the preprocessor's.
    #[arg(long, value_name = "S")]
    image_size: Option<usize>,
    /// Where features are kept; without it CHECKPOINT/features, beside a model file its name with .features.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Report decoder to measure, a file; without it CHECKPOINT/report, or MODEL.report.onnx beside MODEL.onnx, if there.
    #[arg(long, value_name = "FILE")]
    decoder: Option<PathBuf>,
    /// Films that have findings and no report are measured against one composed from their labels.
    #[cfg(feature = "burn")]
    #[arg(long)]
    compose: bool,
    /// Measure reports against the radiologists' whole text: nothing is taken out of it.
    #[cfg(feature = "burn")]
    #[arg(long)]
    no_cleaning: bool,
    /// For a person or for a program.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    #[command(flatten)]
    limits: ScanLimits,
    #[command(flatten)]
    common: Common,
}

impl Evaluate {
    pub(super) fn run(self) -> Result<Tally> {
        self.common.start()?;
        let (limits, threads) = (self.limits.limits(), self.common.threads);
        let split = match self.split {
            SplitChoice::Train => Split::Train,
            SplitChoice::Val => Split::Val,
            SplitChoice::Test => Split::Test,
        };
        let dataset = Dataset::read(&self.data)?;
        let folder = self.checkpoint.is_dir();
        let encoder = match folder {
            true => Encoder::from_checkpoint(&self.checkpoint, self.image_size, limits, threads)?,
            false => Encoder::from_model(&self.checkpoint, limits, threads)?,
        };
        // Fresh heads need the films they are fitted on; the checkpoint's own need only the films measured.
        let measured = if self.fit { dataset.clone() } else { of_split(&dataset, split) };
        let model = self.featured(&encoder, &measured, "encoder")?;
        let mut failed = Vec::new();
        let decoder = self.decoder(folder)?;
        let predictions = match self.fit {
            true => None,
            false => Some(self.own(folder, &encoder, &model, decoder.is_some(), &mut failed)?),
        };
        #[cfg(feature = "burn")]
        let written = match &decoder {
            Some(decoder) => self.written(decoder, &encoder, &dataset, &model.dataset, predictions.as_ref(), split)?,
            None => Default::default(),
        };
        super::complain(failed.iter().map(|(path, error)| (path.as_path(), error)));
        let wanted = match &predictions {
            Some(predictions) => Wanted::like(predictions),
            None => Wanted::all(&model.dataset),
        };
        let mut floors: Vec<(Floor, Featured, Columns)> = Vec::new();
        if self.floor {
            let random = Encoder::random_like(&encoder, &self.shape(folder, &encoder)?, limits, threads)?;
            let columns = self.features.columns(random.dim());
            floors.push((Floor::Random, self.featured(&random, &dataset, "random encoder")?, columns));
            let pixels = Pixels::new(limits);
            let columns = Columns::all(pixels.width());
            floors.push((Floor::Pixels, self.featured(&pixels, &dataset, "pixels")?, columns));
        }
        let mut posed: Vec<(Pose, Featured, Option<Vec<bool>>)> = Vec::new();
        if self.ood {
            let fitted = self.out_of_distribution(folder, &encoder)?;
            let upright = of_split(&model.dataset, split);
            for pose in Pose::ALL {
                let data = self.featured(&Posed::new(&encoder, pose), &upright, pose.as_str())?;
                let rows: Vec<usize> = (0..data.features.rows).collect();
                let flags = ood::flags(&fitted, &data.features, &rows);
                posed.push((pose, data, flags));
            }
        }
        let mut reports = 0;
        for (number, source) in model.dataset.sources().into_iter().enumerate() {
            let columns = self.features.columns(encoder.dim());
            let fresh = match &predictions {
                Some(_) => None,
                None => Some(fresh::fit(&model.dataset, &model.features, &columns, number, &wanted)),
            };
            let Some(own) = fresh.as_ref().or(predictions.as_ref()) else { continue };
            let Some(mut first) = report(&model.dataset, source, split, own, None) else { continue };
            #[cfg(feature = "burn")]
            first.metrics.extend(written.get(source).cloned().unwrap_or_default());
            reports += 1;
            for (pose, data, flagged) in &posed {
                let predictions = Predictions { out_of_distribution: flagged.clone(), ..Predictions::default() };
                if let Some(report) = report(&data.dataset, source, split, &predictions, None) {
                    first.metrics.extend(report.metrics.into_iter().map(|mut metric| {
                        pose.as_str().clone_into(&mut metric.label);
                        metric
                    }));
                }
            }
            self.show(&first)?;
            for (floor, data, columns) in &floors {
                let fitted = fresh::fit(&data.dataset, &data.features, columns, number, &wanted);
                if let Some(report) = report(&data.dataset, source, split, &fitted, Some(*floor)) {
                    self.show(&report)?;
                }
            }
        }
        if reports == 0 {
            return Err(Error::new(ErrorKind::Data, format!("no film belongs to split {}", split.as_str()))
                .hint("choose another --split"));
        }
        Ok(Tally { done: model.dataset.films.len(), failed: model.failed + failed.len() })
    }

    /// The decoder that goes with the checkpoint or the model file.
    fn decoder(&self, folder: bool) -> Result<Option<Decoder>> {
        if let Some(path) = &self.decoder {
            return Decoder::from_file(path).map(Some);
        }
        let (beside, inside) = (self.checkpoint.with_extension("report.onnx"), self.checkpoint.join("report"));
        match folder {
            true if inside.join("config.json").exists() => Decoder::from_folder(&inside).map(Some),
            false if beside.exists() => Decoder::from_file(&beside).map(Some),
            _ => Ok(None),
        }
    }

    /// The metrics of the decoder's reports by source; a source without reports in `split` has none.
    #[cfg(feature = "burn")]
    fn written(
        &self,
        decoder: &Decoder,
        encoder: &Encoder,
        dataset: &Dataset,
        measured: &Dataset,
        predictions: Option<&Predictions>,
        split: Split,
    ) -> Result<BTreeMap<String, Vec<Metric>>> {
        let Some(input) = &decoder.manifest().image else { return Ok(BTreeMap::new()) };
        let cleaning = if self.no_cleaning { Cleaning::NONE } else { Cleaning::default() };
        let collected = |dataset: &Dataset| texts(dataset, &cleaning, self.compose, &mut Removed::default());
        let mut wanted = dataset.clone();
        let mut keep = vec![false; dataset.films.len()];
        collected(dataset).iter().for_each(|text| keep[text.film] = true);
        let mut at = keep.into_iter();
        wanted.retain(|film| at.next().unwrap_or(false) && [split, Split::Train].contains(&film.row.split()));
        if wanted.of_split(split).is_empty() {
            return Ok(BTreeMap::new());
        }
        let tokens = ImageTokens::new(encoder, input.pool);
        if input.encoder_width != encoder.dim() || input.grid != tokens.grid() {
            return Err(Error::new(ErrorKind::Model, "the decoder was trained with another encoder")
                .hint("leave --decoder out, or take the one beside the model"));
        }
        let seen = self.featured(&tokens, &wanted, "image tokens")?;
        let texts: Vec<(usize, String)> = collected(&seen.dataset).into_iter().map(|t| (t.film, t.text)).collect();
        let known: BTreeMap<&Path, Vec<FindingResult>> = measured
            .films
            .iter()
            .enumerate()
            .map(|(i, film)| (film.path.as_path(), findings(predictions, i)))
            .collect();
        let of_film = |film: &Film| known.get(film.path.as_path()).cloned().unwrap_or_default();
        let findings: Vec<Vec<FindingResult>> = seen.dataset.films.iter().map(of_film).collect();
        let (dataset, features, width) = (&seen.dataset, &seen.features, encoder.dim());
        let material = Material { dataset, features, width, decoder, findings: &findings };
        let mut metrics = BTreeMap::new();
        for source in dataset.sources() {
            let own = written::reads(dataset, &texts, source, split);
            if !own.is_empty() {
                let train = written::reads(dataset, &texts, source, Split::Train);
                let writers = written::write(&material, &train, &own)?;
                metrics.insert(source.to_owned(), written::scores(&material, &own, &writers));
            }
        }
        Ok(metrics)
    }

    /// What the checkpoint's or the model file's own heads say; without heads there must be a decoder.
    fn own(
        &self,
        folder: bool,
        encoder: &Encoder,
        model: &Featured,
        decoder: bool,
        failed: &mut Vec<(PathBuf, Error)>,
    ) -> Result<Predictions> {
        let read = if folder { Probes::read(&self.checkpoint, encoder.dim())? } else { None };
        let (mut predictions, heads) = match (&read, encoder.engine().manifest()) {
            (Some(probes), _) => (Predictions::of_probes(probes, &model.features), Some(&probes.config.heads)),
            (None, Some(manifest)) => (Predictions::of_model(encoder, &model.features), Some(&manifest.heads)),
            (None, None) => (Predictions::default(), None),
        };
        if let Some(heads) = heads {
            predictions.segmentation =
                overlaps(encoder, &heads.segmentation, &model.dataset, failed, self.common.quiet)?;
        }
        Some(predictions).filter(|p| decoder || !p.is_empty()).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("{}: there are no heads to evaluate", self.checkpoint.display()))
                .hint("run rad-dino-train probe first, or fit fresh heads with --fit")
        })
    }

    /// When a picture is no chest film, by the checkpoint or the model file.
    fn out_of_distribution(&self, folder: bool, encoder: &Encoder) -> Result<OutOfDistribution> {
        let read = if folder { Probes::read(&self.checkpoint, encoder.dim())? } else { None };
        let of_file = || encoder.engine().manifest().and_then(|m| m.out_of_distribution.clone());
        let found = read.map_or_else(of_file, |probes| probes.config.out_of_distribution);
        found.ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("{}: knows no limit of distribution", self.checkpoint.display()))
                .hint("leave --ood out, or run rad-dino-train probe first")
        })
    }

    fn shape(&self, folder: bool, encoder: &Encoder) -> Result<Shape> {
        if folder {
            return Ok(Shape::of_config(Checkpoint::open(&self.checkpoint)?.config()));
        }
        let manifest = encoder.engine().manifest().ok_or_else(|| {
            Error::new(ErrorKind::Model, format!("{}: there is no manifest", self.checkpoint.display()))
        })?;
        Ok(Shape::of_architecture(&manifest.architecture))
    }

    fn featured(&self, source: &dyn FeatureSource, dataset: &Dataset, label: &str) -> Result<Featured> {
        featured(source, dataset, &self.cache(), label, self.common.quiet)
    }

    fn cache(&self) -> PathBuf {
        let beside = || match self.checkpoint.is_dir() {
            true => self.checkpoint.join("features"),
            false => Path::new(&self.checkpoint).with_extension("features"),
        };
        self.cache.clone().unwrap_or_else(beside)
    }

    fn show(&self, report: &crate::evaluate::Report) -> Result<()> {
        match self.format {
            Format::Json => print(&json(report)?),
            Format::Text => print(&text::table(report)),
        }
    }
}

/// What the probes say of film `i`.
#[cfg(feature = "burn")]
fn findings(predictions: Option<&Predictions>, i: usize) -> Vec<FindingResult> {
    let of = |(finding, logits): &(Finding, Vec<f64>)| {
        let probability = finding.calibration.probability(*logits.get(i)?);
        let (label, threshold) = (finding.label.clone(), finding.threshold);
        Some(FindingResult { label, probability, threshold, positive: probability >= threshold })
    };
    predictions.iter().flat_map(|p| &p.findings).filter_map(of).collect()
}

/// The films of one split; what labels a source uses stays known.
fn of_split(dataset: &Dataset, split: Split) -> Dataset {
    let mut dataset = dataset.clone();
    dataset.retain(|film| film.row.split() == split);
    dataset
}
