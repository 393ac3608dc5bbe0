//! `rad-dino-train probe`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rad_dino_edge::checkpoint::Probes;
use rad_dino_edge::model::manifest::{Detector, Metric, OutOfDistribution, TrainingData};
use rad_dino_edge::{Error, ErrorKind, Result};

use super::options::{Common, FeatureChoice, Featured, ScanLimits, featured};
use super::{Tally, json, print};
use crate::data::pose::Pose;
use crate::data::{Dataset, Split};
#[cfg(feature = "burn")]
use crate::evaluate::overlap::overlaps;
use crate::evaluate::{Predictions, report, scores, text};
use crate::features::{Encoder, Posed};
use crate::linalg::Matrix;
#[cfg(feature = "burn")]
use crate::probe::segmentation;
use crate::probe::{Task, folder, ood, pose};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TaskChoice {
    /// Multi-label findings.
    Findings,
    /// Sex.
    Sex,
    /// Age in years.
    Age,
    /// Projection, AP or PA.
    View,
    /// Lungs, from films with masks.
    #[cfg(feature = "burn")]
    Segmentation,
    /// Every task the data can teach.
    All,
}

impl TaskChoice {
    fn tasks(self) -> Vec<Task> {
        match self {
            TaskChoice::Findings => vec![Task::Findings],
            TaskChoice::Sex => vec![Task::Sex],
            TaskChoice::Age => vec![Task::Age],
            TaskChoice::View => vec![Task::View],
            #[cfg(feature = "burn")]
            TaskChoice::Segmentation => Vec::new(),
            TaskChoice::All => Task::ALL.to_vec(),
        }
    }

    /// Whether a segmentation is wanted, too.
    #[cfg(feature = "burn")]
    fn segmentation(self) -> bool {
        matches!(self, TaskChoice::Segmentation | TaskChoice::All)
    }
}

/// Fits heads on an encoder's frozen features: weights on the train split; strength, calibration and thresholds on val.
/// Prints the metrics on val, one JSON object a source.
#[derive(Debug, Args)]
pub struct Probe {
    /// Checkpoint folder of the encoder.
    #[arg(long, value_name = "DIR")]
    encoder: PathBuf,
    /// Films; may be given several times.
    #[arg(long, value_name = "CSV", required = true)]
    data: Vec<PathBuf>,
    /// What to learn.
    #[arg(long, value_enum)]
    task: TaskChoice,
    /// Of findings only this label; may be given several times. Without it every label the films can teach.
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Checkpoint folder to write: the encoder is copied there unless it is there, the head is added.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What heads see.
    #[arg(long, value_enum, default_value = "cls_mean")]
    features: FeatureChoice,
    /// Which head draws the segmentation.
    #[cfg(feature = "burn")]
    #[arg(long, value_enum, default_value = "decoder")]
    segmentation_head: segmentation::Kind,
    /// Input side in pixels; without it the preprocessor's.
    #[arg(long, value_name = "S")]
    image_size: Option<usize>,
    /// Where features are kept; without it OUT/features.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Further films that count as chest films for the out-of-distribution warning, without teaching a head.
    #[arg(long, value_name = "CSV")]
    in_distribution: Vec<PathBuf>,
    /// Films of each source and split that the detectors of films held wrongly are fitted on; 0 fits none.
    #[arg(long, value_name = "N", default_value_t = 300)]
    pose_films: usize,
    /// Licence of encoder and heads together, kept in probes.json.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    /// First trains all of the encoder's weights with the labels (all tasks at once, the best look at val is kept); the
    /// heads are then fitted on the tuned encoder. OUT must not hold an encoder yet.
    #[cfg(feature = "burn")]
    #[arg(long)]
    finetune: bool,
    /// How (TOML); train/configs/finetune.toml explains every key and holds the defaults.
    #[cfg(feature = "burn")]
    #[arg(long, value_name = "TOML", requires = "finetune")]
    finetune_config: Option<PathBuf>,
    /// Where fine-tuning computes.
    #[cfg(feature = "burn")]
    #[arg(long, value_enum, default_value = "cpu")]
    device: super::options::DeviceChoice,
    #[command(flatten)]
    limits: ScanLimits,
    #[command(flatten)]
    common: Common,
}

impl Probe {
    pub(super) fn run(self) -> Result<Tally> {
        self.common.start()?;
        let dataset = Dataset::read(&self.data)?;
        #[cfg(feature = "burn")]
        if self.finetune {
            self.tune(&dataset)?;
        }
        #[cfg(feature = "burn")]
        let start = if self.finetune { &self.out } else { &self.encoder };
        #[cfg(not(feature = "burn"))]
        let start = &self.encoder;
        folder::prepare(start, &self.out, self.image_size)?;
        let encoder = self.encoder()?;
        let mut probes = Probes::read(&self.out, encoder.dim())?.unwrap_or_default();
        "rad-dino-edge/probes/1".clone_into(&mut probes.config.schema);
        let tasks = self.task.tasks();
        let mut learnt = Learnt { dataset, ..Learnt::default() };
        if !tasks.is_empty() {
            self.numbers(&tasks, &encoder, &mut probes, &mut learnt)?;
        }
        #[cfg(feature = "burn")]
        if self.task.segmentation() {
            self.segmentation(&encoder, &mut probes, &mut learnt)?;
        }
        let Learnt { dataset, predictions, tasks, failed } = learnt;
        if tasks == 0 {
            return Err(Error::new(ErrorKind::Data, "these films cannot teach the task")
                .hint("a head needs 50 training films of each class; see the notes above, without --quiet"));
        }
        training_data(&mut probes.config.training_data, &dataset);
        if let Some(licence) = self.licence {
            probes.config.licence = licence;
        }
        test_metrics(&dataset, &predictions, &mut probes.config.metrics);
        probes.write(&self.out, encoder.dim())?;
        for source in dataset.sources() {
            if let Some(report) = report(&dataset, source, Split::Val, &predictions, None) {
                self.common.note(&text::table(&report));
                print(&json(&report)?)?;
            }
        }
        Ok(Tally { done: dataset.films.len(), failed })
    }

    fn encoder(&self) -> Result<Encoder> {
        Encoder::from_checkpoint(&self.out, None, self.limits.limits(), self.common.threads)
    }

    /// Fits the heads on CLS ‖ mean.
    fn numbers(&self, tasks: &[Task], encoder: &Encoder, probes: &mut Probes, learnt: &mut Learnt) -> Result<()> {
        let cache = self.cache.clone().unwrap_or_else(|| self.out.join("features"));
        let found = featured(encoder, &learnt.dataset, &cache, "features", self.common.quiet)?;
        let Featured { dataset, features, failed } = found;
        let columns = self.features.columns(encoder.dim());
        let mut done = Vec::new();
        for task in tasks {
            let mut notes = Vec::new();
            if task.fit(&dataset, &features, &columns, &self.labels, probes, &mut notes).is_some() {
                done.push(*task);
            }
            notes.iter().for_each(|note| self.common.note(note));
        }
        if !done.is_empty() && (probes.config.out_of_distribution.is_none() || done.contains(&Task::Findings)) {
            let mut fitted = self.in_distribution(encoder, &dataset, &features, &cache)?;
            if let Some(fitted) = &mut fitted {
                fitted.detectors = self.detectors(encoder, &dataset, &cache)?;
            }
            probes.config.out_of_distribution = fitted;
        }
        let predictions = Predictions::of_probes(probes, &features);
        *learnt = Learnt { dataset, predictions, tasks: done.len(), failed };
        Ok(())
    }

    /// Fits the head on patch tokens and measures it by an engine that runs it.
    #[cfg(feature = "burn")]
    fn segmentation(&self, encoder: &Encoder, probes: &mut Probes, learnt: &mut Learnt) -> Result<()> {
        let (mut notes, mut failed) = (Vec::new(), Vec::new());
        let kind = self.segmentation_head;
        let quiet = self.common.quiet;
        let added = segmentation::add(kind, encoder, &learnt.dataset, probes, &mut notes, &mut failed, quiet)?;
        notes.iter().for_each(|note| self.common.note(note));
        super::complain(failed.iter().map(|(path, error)| (path.as_path(), error)));
        if added {
            probes.write(&self.out, encoder.dim())?;
            let labels = &probes.config.heads.segmentation;
            let mut measured = learnt.dataset.clone();
            measured.films.iter_mut().filter(|f| f.row.split() == Split::Train).for_each(|f| f.mask = None);
            // The same films failed above where they belong to val.
            let mut again = Vec::new();
            learnt.predictions.segmentation = overlaps(&self.encoder()?, labels, &measured, &mut again, quiet)?;
            learnt.tasks += 1;
            again.retain(|(path, _)| failed.iter().all(|(known, _)| known != path));
            super::complain(again.iter().map(|(path, error)| (path.as_path(), error)));
            learnt.failed += again.len();
        }
        learnt.failed += failed.len();
        Ok(())
    }
}

/// What became of the films.
#[derive(Default)]
struct Learnt {
    dataset: Dataset,
    predictions: Predictions,
    /// How many tasks have a new head.
    tasks: usize,
    failed: usize,
}

impl Probe {
    /// Fine-tunes the encoder into OUT.
    #[cfg(feature = "burn")]
    fn tune(&self, dataset: &Dataset) -> Result<()> {
        use crate::supervised::{Config, tune::TuneJob};
        if self.out.join("config.json").exists() {
            let message = format!("{}: holds an encoder already", self.out.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("give --finetune a new --out"));
        }
        let config = self.finetune_config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
        let job = TuneJob {
            config: &config,
            dataset,
            encoder: &self.encoder,
            limits: self.limits.limits(),
            quiet: self.common.quiet,
        };
        let (tuned, preprocessing) = crate::pretrain::device::on(self.device.into(), job)?;
        for (step, score) in &tuned.looks {
            self.common.note(&format!("fine-tuning, step {step}: mean over val's questions {score:.4}"));
        }
        self.common.note(&format!("kept step {}", tuned.step));
        tuned.weights.write(&self.out, &preprocessing, rad_dino_edge::checkpoint::DType::F32)
    }

    /// The out-of-distribution model of all films, those of `--in-distribution` too.
    fn in_distribution(
        &self,
        encoder: &Encoder,
        dataset: &Dataset,
        features: &Matrix,
        cache: &Path,
    ) -> Result<Option<OutOfDistribution>> {
        if self.in_distribution.is_empty() {
            return Ok(ood::fit(dataset, features, encoder.dim()));
        }
        let further = Dataset::read(&self.in_distribution)?;
        let further = featured(encoder, &further, cache, "further films", self.common.quiet)?;
        let mut dataset = dataset.clone();
        dataset.append(further.dataset);
        let mut features = features.clone();
        features.rows += further.features.rows;
        features.values.extend(further.features.values);
        Ok(ood::fit(&dataset, &features, encoder.dim()))
    }

    /// The detectors of films held wrongly.
    fn detectors(&self, encoder: &Encoder, dataset: &Dataset, cache: &Path) -> Result<Vec<Detector>> {
        if self.pose_films == 0 {
            return Ok(Vec::new());
        }
        let mut counts: BTreeMap<(String, Split), usize> = BTreeMap::new();
        let mut dataset = dataset.clone();
        dataset.retain(|film| {
            let split = film.row.split();
            let count = counts.entry((film.row.source.clone(), split)).or_default();
            *count += 1;
            split != Split::Test && *count <= self.pose_films
        });
        let quiet = self.common.quiet;
        let upright = featured(encoder, &dataset, cache, "features", quiet)?;
        let mut posed = Vec::with_capacity(Pose::ALL.len());
        for pose in Pose::ALL {
            let source = Posed::new(encoder, pose);
            posed.push(featured(&source, &upright.dataset, cache, pose.as_str(), quiet)?.features);
        }
        if posed.iter().any(|features| features.rows != upright.features.rows) {
            return Err(Error::new(ErrorKind::Data, "films changed while they were read").hint("run probe again"));
        }
        Ok(pose::detectors(&upright.dataset, &upright.features, &posed, 2 * encoder.dim()))
    }
}

/// Adds the sources of `dataset`, or raises their count of films.
fn training_data(known: &mut Vec<TrainingData>, dataset: &Dataset) {
    for source in dataset.sources() {
        let rows = dataset.of_split(Split::Train).into_iter().map(|i| &dataset.films[i].row);
        let own: Vec<_> = rows.filter(|row| row.source == source).collect();
        if own.is_empty() {
            continue;
        }
        let licences: BTreeSet<&str> = own.iter().map(|row| row.licence.as_str()).filter(|l| !l.is_empty()).collect();
        let licence = licences.into_iter().collect::<Vec<_>>().join("; ");
        match known.iter_mut().find(|k| k.source == source) {
            Some(entry) => {
                entry.films = entry.films.max(own.len());
                entry.licence = licence;
            }
            None => known.push(TrainingData { source: source.to_owned(), licence, films: own.len() }),
        }
    }
}

/// What the card says, of every source's test split; what earlier calls measured of other tasks stays.
fn test_metrics(dataset: &Dataset, predictions: &Predictions, metrics: &mut Vec<Metric>) {
    let mut fresh = Vec::new();
    for source in dataset.sources() {
        let test = dataset.of_split(Split::Test);
        let rows: Vec<usize> = test.into_iter().filter(|&i| dataset.films[i].row.source == source).collect();
        for mut metric in scores::scores(dataset, source, &rows, predictions, scores::Detail::Full) {
            source.clone_into(&mut metric.source);
            fresh.push(metric);
        }
    }
    metrics.retain(|m| fresh.iter().all(|f| f.task != m.task));
    metrics.extend(fresh);
}
