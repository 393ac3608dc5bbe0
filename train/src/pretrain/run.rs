//! The loop around the steps: films, time, metrics, saves.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::backend::AutodiffBackend;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rad_dino_edge::checkpoint::Config as EncoderConfig;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::budget::{Budget, MEASURED};
use super::checkup::{Checkup, Report};
use super::config::{Config, Export, Train, Watch as Watched};
use super::trainer::Trainer;
use super::watch::Watch;
use super::{curve, device, export, films, metrics, start};
use crate::data::loader::{Films, Loader, Place};
use crate::resume::{HeadShape, Position, State};
use crate::ssl::{DinoHead, Network};
use crate::vit::{Encoder, initial};

/// Steps between looks at whether the schedule still fits the time.
const REFIT: usize = 10;

/// What `pretrain` was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The configuration.
    pub config: Config,
    /// Manifests and packed files.
    pub data: Vec<PathBuf>,
    /// The folder to write.
    pub out: PathBuf,
    /// The checkpoint to start from.
    pub init: Option<PathBuf>,
    /// Go on with what `out` holds.
    pub resume: bool,
    /// Numbers of the devices that share each step's micro-batches, one named twice counts twice; none = the one
    /// that [`run`] was given.
    pub devices: Vec<usize>,
    /// Fit the schedules to this time.
    pub max_minutes: Option<f64>,
    /// Save and stop once this step is reached, as if interrupted.
    pub stop_at: Option<usize>,
    /// No progress and no notes.
    pub quiet: bool,
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
    /// Films that could not be read.
    pub skipped: usize,
    /// Mean films a second over the steps of this process.
    pub images_per_second: f64,
    /// Loss of the last step.
    pub loss: f64,
}

struct Run<'a, B: AutodiffBackend> {
    request: &'a Request,
    trainer: Trainer<B>,
    encoder: EncoderConfig,
    preprocessing: Preprocessing,
    step: usize,
    total: Option<usize>,
    fingerprint: String,
}

/// Trains. See [`Request`].
///
/// # Errors
/// `Usage` for a folder that already holds a run and for a state of another configuration; those of reading
/// checkpoints and films; `Data` when the run diverges or collapses.
pub fn run<B: AutodiffBackend>(request: &Request, device: &B::Device) -> Result<Summary> {
    let started = Instant::now();
    let config = &request.config;
    let devices = device::numbered::<B>(device, &request.devices)?;
    let (device, others) = devices.split_first().unwrap_or((device, &[]));
    divides(&config.train, devices.len())?;
    let films = films::collect(&request.data, &config.train, request.limits)?;
    let mut run = Run::<B>::prepare(request, &films, device)?;
    run.trainer.share(others)?;
    let budget = Budget::new(started, request.max_minutes);
    let recipe = films::recipe(config, &run.preprocessing, run.encoder.patch_size);
    let first = (run.step * config.train.accumulate) as u64;
    let mut loader = Loader::start(recipe, films, first, config.train.workers, request.quiet)?;
    let mut log = metrics::Log::<metrics::Record>::open(&run.path("metrics.jsonl"), run.step)?;
    let mut checkup = run.checkup(device)?;
    let mut watch = Watch::default();
    let bar = progress(request.quiet);
    let uniform = (run.trainer.first.student.dino_head.last_layer.weight_v.dims()[0] as f64).ln();
    let (mut timed, mut save_seconds, mut last_loss) = (Vec::new(), 0.0f64, f64::NAN);
    while run.step < run.total.unwrap_or(usize::MAX) && request.stop_at.is_none_or(|stop| run.step < stop) {
        let begun = Instant::now();
        let batches = (0..config.train.accumulate).map(|_| loader.next_batch()).collect::<Result<Vec<_>>>()?;
        let wait = begun.elapsed().as_secs_f64();
        let total = run.total.unwrap_or(config.train.steps.max(run.step + 1));
        let mut record = run.trainer.step(run.step, total, batches)?;
        let seconds = begun.elapsed().as_secs_f64();
        record.wait_seconds = wait;
        record.step_seconds = seconds;
        record.images_per_second = config.batch() as f64 / seconds;
        record.skipped = loader.skipped.count();
        watch.see(&record, uniform, config.loss.dino > 0.0)?;
        log.push(&record)?;
        run.step += 1;
        timed.push(seconds);
        last_loss = record.loss;
        show(&bar, run.step, run.total, &record);
        let last = run.total.is_some_and(|total| run.step >= total);
        if let Some(checkup) = checkup.as_mut().filter(|_| last || run.step.is_multiple_of(config.watch.every.max(1))) {
            note(request.quiet, &bar, &checkup.take(&run, device)?);
        }
        if run.total.is_none() && timed.len() >= MEASURED {
            // what a save takes is not known yet: as long as three steps, at least ten seconds
            let mean = mean(&timed[1..]);
            let total = budget.fit(run.step, mean, (3.0 * mean).max(10.0));
            note(request.quiet, &bar, &format!("{mean:.2} s a step: {total} steps fit the time"));
            run.total = Some(total);
        }
        let recent = mean(&timed[timed.len().saturating_sub(REFIT)..]);
        if let Some(total) = run.total.filter(|_| budget.is_limited() && run.step.is_multiple_of(REFIT)) {
            // a machine that became slower still gets the end of the cosine; one that became faster keeps its schedule
            let fitted = budget.fit(run.step, recent, save_seconds.max(10.0));
            if (fitted as f64) < 0.97 * total as f64 {
                note(request.quiet, &bar, &format!("{recent:.2} s a step: {fitted} steps fit the time"));
                run.total = Some(fitted);
            }
        }
        let late = budget.is_spent(recent, save_seconds.max(5.0));
        let ended = run.total.is_some_and(|total| run.step >= total) || late;
        let stopped = request.stop_at.is_some_and(|stop| run.step >= stop);
        if ended || stopped || run.step.is_multiple_of(config.train.save_every) {
            let begun = Instant::now();
            run.save()?;
            save_seconds = begun.elapsed().as_secs_f64();
        }
        if late {
            note(request.quiet, &bar, "the time is over");
            break;
        }
    }
    bar.finish_and_clear();
    curve::draw(&run.path("curves.svg"), &metrics::read(&run.path("metrics.jsonl"))?)?;
    if checkup.is_some() {
        curve::draw_watch(&run.path("watch.svg"), &metrics::read(&run.path("watch.jsonl"))?)?;
    }
    Ok(Summary {
        steps: run.step,
        total: run.total.unwrap_or(run.step),
        skipped: loader.skipped.count(),
        images_per_second: if timed.is_empty() { 0.0 } else { config.batch() as f64 / mean(&timed) },
        loss: last_loss,
    })
}

impl<'a, B: AutodiffBackend> Run<'a, B> {
    fn prepare(request: &'a Request, films: &Films, device: &B::Device) -> Result<Self> {
        let state = request.out.join("resume/state.safetensors");
        let fingerprint = fingerprint(&request.config, films)?;
        if !state.exists() {
            if request.resume {
                note(request.quiet, &ProgressBar::hidden(), "nothing to resume: starting");
            }
            return Run::fresh(request, films, fingerprint, device);
        }
        if !request.resume {
            let message = format!("{} already holds a run", request.out.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("go on with --resume, or name another --out"));
        }
        Run::resumed(request, &state, fingerprint, device)
    }

    fn fresh(request: &'a Request, films: &Films, fingerprint: String, device: &B::Device) -> Result<Self> {
        let init = request.init.as_deref();
        let backbone = start::backbone(&request.config, init)?;
        let say = |text: &str| note(request.quiet, &ProgressBar::hidden(), text);
        let inner = start::network::<B::InnerBackend>(&request.config, &backbone, init, films, device, &say)?;
        let network = <Network<B> as burn::module::AutodiffModule<B>>::from_inner(inner);
        let total = request.max_minutes.is_none().then_some(request.config.train.steps);
        Ok(Run {
            request,
            trainer: Trainer::new(&request.config, network, device),
            encoder: backbone.weights.config,
            preprocessing: backbone.preprocessing,
            step: 0,
            total,
            fingerprint,
        })
    }

    fn resumed(request: &'a Request, path: &Path, fingerprint: String, device: &B::Device) -> Result<Self> {
        let state = State::<B::InnerBackend>::read(path, device)?;
        let position = &state.position;
        if position.fingerprint != fingerprint {
            let message = format!("{}: the run was started with another configuration or other films", path.display());
            return Err(
                Error::new(ErrorKind::Usage, message).hint("give the same --config and --data, or name another --out")
            );
        }
        let head = |shape: &HeadShape| DinoHead::from_weights(&shape.blank(), device);
        let network = Network::<B> {
            encoder: Encoder::from_weights(&initial::encoder(&position.encoder, 0), device)?,
            dino_head: head(&position.dino_head)?,
            ibot_head: position.ibot_head.as_ref().map(head).transpose()?,
        };
        let mut trainer = Trainer::new(&request.config, network, device);
        trainer.restore(|prefix| state.part(prefix))?;
        trainer.optimizer.updates = position.updates.clone();
        let total = match request.max_minutes {
            Some(_) => position.total,
            None => Some(request.config.train.steps),
        };
        Ok(Run {
            request,
            trainer,
            encoder: position.encoder.clone(),
            preprocessing: position.preprocessing.clone(),
            step: position.step,
            total,
            fingerprint,
        })
    }

    /// The checkup and its log, after a first look at step 0; None when off or without labelled films.
    fn checkup(&self, device: &B::Device) -> Result<Option<Examined>> {
        let watch = &self.request.config.watch;
        if watch.every == 0 {
            return Ok(None);
        }
        let Request { data, limits, quiet, .. } = self.request;
        let side = self.request.config.crops.global_size;
        let bar = ProgressBar::hidden();
        let Some(checkup) = Checkup::new(watch, data, &self.preprocessing, side, limits)? else {
            note(*quiet, &bar, "watch: --data has no labelled films, so there are no probes on the way");
            return Ok(None);
        };
        let log = metrics::Log::open(&self.path("watch.jsonl"), self.step)?;
        let mut examined = Examined { checkup, log };
        if self.step == 0 {
            note(*quiet, &bar, &examined.take(self, device)?);
        }
        Ok(Some(examined))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.request.out.join(name)
    }

    /// The checkpoint folder, the other network's folder, and last the state.
    fn save(&self) -> Result<()> {
        let out = &self.request.out;
        let trainer = &self.trainer;
        let student = burn::module::AutodiffModule::valid(&trainer.first.student);
        let (main, other, name) = match self.request.config.train.export {
            Export::Teacher => (&trainer.first.teacher, &student, "student"),
            Export::Student => (&student, &trainer.first.teacher, "teacher"),
        };
        export::write(main, &self.encoder, &self.preprocessing, out)?;
        export::write(other, &self.encoder, &self.preprocessing, &out.join(name))?;
        let shape = |head: &DinoHead<B>| HeadShape::of(&head.to_weights());
        let mut state = State {
            position: Position {
                step: self.step,
                total: self.total,
                fingerprint: self.fingerprint.clone(),
                encoder: self.encoder.clone(),
                preprocessing: self.preprocessing.clone(),
                dino_head: shape(&trainer.first.student.dino_head),
                ibot_head: trainer.first.student.ibot_head.as_ref().map(shape),
                updates: trainer.optimizer.updates.clone(),
            },
            tensors: Default::default(),
        };
        for (prefix, tensors) in trainer.tensors() {
            state.insert(prefix, tensors);
        }
        state.write(&out.join("resume/state.safetensors"))
    }
}

struct Examined {
    checkup: Checkup,
    log: metrics::Log<Report>,
}

impl Examined {
    /// Examines the student, logs, and says it in a line.
    fn take<B: AutodiffBackend>(&mut self, run: &Run<'_, B>, device: &B::Device) -> Result<String> {
        let student = burn::module::AutodiffModule::valid(&run.trainer.first.student);
        let report = self.checkup.examine(&student.encoder, run.step, device)?;
        self.log.push(&report)?;
        Ok(report.summary())
    }
}

/// sha256 of what must stay the same for a run to go on: the configuration without its length and what does not change
/// results, and the films in their order.
fn fingerprint(config: &Config, films: &Films) -> Result<String> {
    let Train { steps, save_every, export, workers, recompute, .. } = Train::default();
    let train = Train { steps, save_every, export, workers, recompute, ..config.train.clone() };
    let text = serde_json::to_string(&Config { train, watch: Watched::default(), ..config.clone() })
        .map_err(|e| Error::new(ErrorKind::Internal, "JSON").source(e))?;
    let mut hash = Sha256::new();
    hash.update(text.as_bytes());
    hash.update((films.len() as u64).to_le_bytes());
    for place in films.places.iter() {
        match place {
            // not the folder: films may move
            Place::File(path) => hash.update(path.file_name().unwrap_or_default().as_encoded_bytes()),
            Place::Packed(_, i) => hash.update((*i as u64).to_le_bytes()),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether each of `devices` gets as many micro-batches.
fn divides(train: &Train, devices: usize) -> Result<()> {
    let Train { films, accumulate, .. } = train;
    if accumulate.is_multiple_of(devices) {
        return Ok(());
    }
    let message = format!("{accumulate} micro-batches of {films} films do not divide among {devices} devices");
    Err(Error::new(ErrorKind::Usage, message)
        .hint("make train.accumulate a multiple of them; train.films × train.accumulate are the films of a step"))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

fn progress(quiet: bool) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        None,
        if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() },
    );
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos}/{len} {msg} eta {eta}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, step: usize, total: Option<usize>, record: &metrics::Record) {
    if let Some(total) = total {
        bar.set_length(total as u64);
    }
    bar.set_position(step as u64);
    bar.set_message(format!("loss {:.3} {:.2} films/s", record.loss, record.images_per_second));
}

fn note(quiet: bool, bar: &ProgressBar, text: &str) {
    if !quiet {
        bar.suspend(|| eprintln!("{text}"));
    }
}
