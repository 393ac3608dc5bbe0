//! The loop around the steps: views, time, metrics, saves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use indicatif::ProgressBar;
use rad_dino_edge::checkpoint::{Config as Shape, DType};
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::loader::Films;
use rad_dino_train::pretrain::budget::{Budget, MEASURED};
use rad_dino_train::pretrain::config::Train;
use rad_dino_train::pretrain::device::Job;
use rad_dino_train::pretrain::export::{DINO_HEAD, read_head};
use rad_dino_train::pretrain::{films, metrics};
use rad_dino_train::resume::State;
use rad_dino_train::ssl::DinoHead;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::config::{Config, Watch};
use super::loss::Head;
use super::network::Scales;
use super::record::{self, Record, Report};
use super::teacher::{Look, Teacher};
use super::trainer::Trainer;
use super::views::Views;
use super::{progress, start};

/// Steps between looks at whether the schedule still fits the time.
const REFIT: usize = 10;
/// Views over which the teacher's features are standardised.
const STANDARD: usize = 512;

/// What `distill` was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The configuration.
    pub config: Config,
    /// Folder of the frozen encoder.
    pub teacher: PathBuf,
    /// `vit-tiny`, `vit-small`, …
    pub student: String,
    /// Manifests and packed files.
    pub data: Vec<PathBuf>,
    /// The folder to write.
    pub out: PathBuf,
    /// Go on with what `out` holds.
    pub resume: bool,
    /// Fit the schedules to this time, from when the teacher's features are there.
    pub max_minutes: Option<f64>,
    /// Save and stop once this step is reached, as if interrupted.
    pub stop_at: Option<usize>,
    /// No progress and no notes.
    pub quiet: bool,
    /// Of the engine; 0 = one a core.
    pub threads: usize,
    /// On scans.
    pub limits: Limits,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps done in all.
    pub steps: usize,
    /// Steps of the schedules.
    pub total: usize,
    /// Mean views a second over the steps of this process.
    pub images_per_second: f64,
    /// The last look; None when there was none.
    pub report: Option<Report>,
}

/// Everything of a run that is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Position {
    step: usize,
    total: Option<usize>,
    fingerprint: String,
    student: Shape,
    updates: BTreeMap<String, u64>,
    factors: BTreeMap<String, f64>,
}

/// The work, on whatever device.
#[derive(Clone, Copy, Debug)]
pub struct Distillation<'a>(pub &'a Request);

impl Job for Distillation<'_> {
    type Output = Summary;

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<Summary> {
        run::<B>(self.0, device)
    }
}

struct Run<'a, B: AutodiffBackend> {
    request: &'a Request,
    trainer: Trainer<B>,
    teacher: Teacher,
    shape: Shape,
    step: usize,
    total: Option<usize>,
    fingerprint: String,
}

/// Distills. See [`Request`].
///
/// # Errors
/// `Usage` for a folder that already holds a run and for a state of another configuration; those of reading
/// checkpoints and films; `Data` when the run diverges.
pub fn run<B: AutodiffBackend>(request: &Request, device: &B::Device) -> Result<Summary> {
    let (config, quiet) = (&request.config, request.quiet);
    config.check()?;
    let state = request.out.join("resume/state.safetensors");
    if state.exists() && !request.resume {
        let message = format!("{} already holds a run", request.out.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("go on with --resume, or name another --out"));
    }
    let cache = request.out.join("cache");
    let teacher = Teacher::open(&request.teacher, config, &cache, request.threads)?;
    let shape = start::shape(&request.student, &teacher.weights.config)?;
    let chosen = chosen(request, &config.train.splits, config.train.balance)?;
    let look = Look::Varied(config.teacher.views);
    let views = teacher.views(config, &chosen, look, &cache.join("train.views"), "teacher", quiet)?;
    let val = val(request, &teacher, &cache)?;
    let scales = Scales::of(&views, STANDARD)?;
    let fingerprint = fingerprint(request, &teacher, views.len())?;

    let mut run = Run::<B>::prepare(request, teacher, shape, &views, scales, fingerprint, &state, device)?;
    let budget = Budget::new(Instant::now(), request.max_minutes);
    let mut log = metrics::Log::<Record>::open(&run.path("metrics.jsonl"), run.step)?;
    let mut watch = metrics::Log::<Report>::open(&run.path("watch.jsonl"), run.step)?;
    let bar = progress::bar("student", "steps", run.total.unwrap_or(config.train.steps), quiet);
    let (mut timed, mut save_seconds, mut report) = (Vec::new(), 0.0f64, None);
    if let Some(val) = val.as_ref().filter(|_| run.step == 0) {
        report = Some(run.look(val, &mut watch, &bar)?);
    }
    while run.step < run.total.unwrap_or(usize::MAX) && request.stop_at.is_none_or(|stop| run.step < stop) {
        let begun = Instant::now();
        let total = run.total.unwrap_or(config.train.steps.max(run.step + 1));
        let mut record = run.trainer.step(run.step, total, &views)?;
        let seconds = begun.elapsed().as_secs_f64();
        record.images_per_second = config.batch() as f64 / seconds;
        log.push(&record)?;
        run.step += 1;
        timed.push(seconds);
        bar.set_position(run.step as u64);
        bar.set_message(format!("loss {:.3}, {:.1} views/s", record.loss, record.images_per_second));
        if run.total.is_none() && timed.len() >= MEASURED {
            let mean = mean(&timed[1..]);
            let total = budget.fit(run.step, mean, 10.0);
            progress::note(quiet, &bar, &format!("{mean:.2} s a step: {total} steps fit the time"));
            run.total = Some(total);
            bar.set_length(total as u64);
        }
        let recent = mean(&timed[timed.len().saturating_sub(REFIT)..]);
        if let Some(total) = run.total.filter(|_| budget.is_limited() && run.step.is_multiple_of(REFIT)) {
            // a machine that became slower still gets the end of the cosine; one that became faster keeps its schedule
            let fitted = budget.fit(run.step, recent, save_seconds.max(10.0));
            if (fitted as f64) < 0.97 * total as f64 {
                progress::note(quiet, &bar, &format!("{recent:.2} s a step: {fitted} steps fit the time"));
                run.total = Some(fitted);
                bar.set_length(fitted as u64);
            }
        }
        let late = budget.is_spent(recent, save_seconds.max(5.0));
        let ended = run.total.is_some_and(|total| run.step >= total) || late;
        let stopped = request.stop_at.is_some_and(|stop| run.step >= stop);
        let due = config.watch.every > 0 && (ended || run.step.is_multiple_of(config.watch.every));
        if let Some(val) = val.as_ref().filter(|_| due) {
            report = Some(run.look(val, &mut watch, &bar)?);
        }
        if ended || stopped || run.step.is_multiple_of(config.train.save_every) {
            let begun = Instant::now();
            run.save()?;
            save_seconds = begun.elapsed().as_secs_f64();
        }
        if late {
            progress::note(quiet, &bar, "the time is over");
            break;
        }
    }
    bar.finish_and_clear();
    record::draw(&request.out)?;
    Ok(Summary {
        steps: run.step,
        total: run.total.unwrap_or(run.step),
        images_per_second: if timed.is_empty() { 0.0 } else { config.batch() as f64 / mean(&timed) },
        report,
    })
}

impl<'a, B: AutodiffBackend> Run<'a, B> {
    fn prepare(
        request: &'a Request,
        teacher: Teacher,
        shape: Shape,
        views: &Views,
        scales: Scales,
        fingerprint: String,
        state: &Path,
        device: &B::Device,
    ) -> Result<Self> {
        let config = &request.config;
        let note = |text: &str| progress::note(request.quiet, &ProgressBar::hidden(), text);
        let head = head::<B>(request, &scales, device)?;
        let steps = request.max_minutes.is_none().then_some(config.train.steps);
        let trainer =
            |student, scales| Trainer::<B>::new(config, student, &teacher.preprocessing, scales, head, device);
        if !state.exists() {
            if request.resume {
                note("nothing to resume: starting");
            }
            let student = start::student::<B::InnerBackend>(config, &teacher, &shape, views, &scales, device, &note)?;
            let trainer = trainer(student, scales);
            return Ok(Run { request, trainer, teacher, shape, step: 0, total: steps, fingerprint });
        }
        let state = State::<B::InnerBackend, Position>::read(state, device)?;
        let position = &state.position;
        if position.fingerprint != fingerprint || position.student != shape {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{}: the run was started with another configuration, teacher, student or films",
                    request.out.display()
                ),
            )
            .hint("give the same options, or name another --out"));
        }
        let blank = start::blank(&shape, views.layout.dim, 0, device)?;
        let mut trainer = trainer(blank, scales);
        trainer.restore(|prefix| state.part(prefix))?;
        trainer.optimizer.updates = position.updates.clone();
        trainer.factors = position.factors.clone();
        let total = if request.max_minutes.is_some() { position.total } else { steps };
        let step = position.step;
        Ok(Run { request, trainer, teacher, shape, step, total, fingerprint })
    }

    fn look(&self, val: &Views, log: &mut metrics::Log<Report>, bar: &ProgressBar) -> Result<Report> {
        let total = self.total.unwrap_or(self.request.config.train.steps);
        let report = self.trainer.look(self.step, total, val)?;
        log.push(&report)?;
        progress::note(self.request.quiet, bar, &report.summary());
        Ok(report)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.request.out.join(name)
    }

    /// The checkpoint folder and last the state.
    fn save(&self) -> Result<()> {
        let student = burn::module::AutodiffModule::valid(&self.trainer.student);
        let weights = student.encoder.to_weights(&self.shape)?;
        weights.write(&self.request.out, &self.teacher.preprocessing, DType::F32)?;
        let position = Position {
            step: self.step,
            total: self.total,
            fingerprint: self.fingerprint.clone(),
            student: self.shape.clone(),
            updates: self.trainer.optimizer.updates.clone(),
            factors: self.trainer.factors.clone(),
        };
        let mut state = State { position, tensors: Default::default() };
        for (prefix, tensors) in self.trainer.tensors() {
            state.insert(prefix, tensors);
        }
        state.write(&self.path("resume/state.safetensors"))
    }
}

/// The teacher's head on CLS, when the loss wants it.
fn head<B: AutodiffBackend>(request: &Request, scales: &Scales, device: &B::Device) -> Result<Option<Head<B>>> {
    if request.config.loss.head == 0.0 {
        return Ok(None);
    }
    let path = request.teacher.join(DINO_HEAD);
    let weights = read_head(&path)?.ok_or_else(|| {
        Error::new(ErrorKind::Checkpoint, format!("{}: there is no such file", path.display()))
            .hint("set loss.head = 0; only a folder that pretrain wrote has a head")
    })?;
    let row = |values: &[f32]| Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device);
    if weights.inputs != scales.cls.mean.len() {
        return Err(Error::new(ErrorKind::Checkpoint, format!("{}: of another width", path.display()))
            .hint("head and encoder must belong together"));
    }
    let head = burn::module::Module::no_grad(DinoHead::from_weights(&weights, device)?);
    Ok(Some(Head { head, mean: row(&scales.cls.mean), deviation: row(&scales.cls.deviation) }))
}

fn chosen(request: &Request, splits: &[String], balance: f64) -> Result<Films> {
    let train = Train { splits: splits.to_vec(), balance, ..Train::default() };
    films::collect(&request.data, &train, request.limits)
}

/// Views of val films; None when looks are off or there are no such films.
fn val(request: &Request, teacher: &Teacher, cache: &Path) -> Result<Option<Views>> {
    let Request { config, quiet, .. } = request;
    if config.watch.every == 0 {
        return Ok(None);
    }
    let Ok(mut films) = chosen(request, &["val".to_owned()], 0.0) else {
        progress::note(*quiet, &ProgressBar::hidden(), "watch: --data has no val films, so nothing is looked at");
        return Ok(None);
    };
    let (n, most) = (films.len(), config.watch.films);
    if n > most {
        let few = (0..most).filter_map(|k| films.places.get(k * n / most).cloned()).collect();
        films.places = std::sync::Arc::new(few);
    }
    teacher.views(config, &films, Look::Plain, &cache.join("val.views"), "val", *quiet).map(Some)
}

/// sha256 of what must stay the same for a run to go on.
fn fingerprint(request: &Request, teacher: &Teacher, views: usize) -> Result<String> {
    let defaults = super::config::Train::default();
    let train =
        super::config::Train { steps: defaults.steps, save_every: defaults.save_every, ..request.config.train.clone() };
    let config = Config { train, watch: Watch::default(), ..request.config.clone() };
    let text = serde_json::to_string(&config).map_err(|e| Error::new(ErrorKind::Internal, "JSON").source(e))?;
    let all = format!("{text}\n{}\n{views}", teacher.identity());
    Ok(Sha256::digest(all.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
