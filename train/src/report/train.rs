//! The loop: text alone, the projector, both; looks at val; the best look is kept.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use burn::module::{AutodiffModule, Module};
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use indicatif::ProgressBar;
use rad_dino_edge::checkpoint::{self, Llama, LlamaConfig, LlamaWeights, ReportConfig};
use rad_dino_edge::report::decoder::Decoder;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::batch::{Images, Look, drawn, loss};
use super::config::Choice;
use super::corpus::Example;
use super::findings::{self, F1};
use super::model::Writer;
use super::state::{Position, Score, State};
use super::{Config, Corpus};
use crate::optim::learner::{Learner, Moments};
use crate::optim::param_groups::{Rates, Rules};
use crate::optim::parameters::{Flat, collect, learnable, replace};
use crate::optim::schedule::Cosine;
use crate::pretrain::device::Job;
use crate::random::{Random, mix};
use crate::supervised::tune::progress;
use crate::vit::linear::values;

/// The phases in order.
pub const PHASES: [&str; 3] = ["text", "projector", "both"];

/// A training, on whatever device.
#[derive(Clone, Copy, Debug)]
pub struct TrainJob<'a> {
    /// How.
    pub config: &'a Config,
    /// Reports.
    pub corpus: &'a Corpus,
    /// How often each training report is drawn in an epoch, as positions.
    pub order: &'a [usize],
    /// How often each val report counts in a look, as positions: by the same rule, or the best look is another training's.
    pub looked_at: &'a [usize],
    /// Films.
    pub images: Images<'a>,
    /// Sizes of the decoder.
    pub llama: &'a LlamaConfig,
    /// Where it starts.
    pub start: (&'a LlamaWeights, &'a checkpoint::Projector),
    /// Of everything it depends on.
    pub fingerprint: &'a str,
    /// The text of tokenizer.json, kept in the state.
    pub tokenizer: &'a str,
    /// The state file.
    pub state: &'a Path,
    /// Go on from it when it is there.
    pub resume: bool,
    /// Stop then and keep the best look.
    pub deadline: Option<Instant>,
    /// No progress.
    pub quiet: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The decoder of the best look.
    pub weights: LlamaWeights,
    /// Its projector.
    pub projector: checkpoint::Projector,
    /// Looks at val.
    pub looks: Vec<Score>,
}

impl Job for TrainJob<'_> {
    type Output = Outcome;

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<Outcome> {
        let mut plain = Writer::<B>::from_weights(self.llama, self.start.0, self.start.1, device);
        plain.findings =
            (self.config.findings > 0.0).then(|| findings::fresh(self.llama.hidden_size, self.config.seed, device));
        let mut run = Run::<B> {
            job: self,
            writer: learnable(plain),
            best: Flat::new(),
            position: Position {
                fingerprint: self.fingerprint.to_owned(),
                tokenizer: self.tokenizer.to_owned(),
                ..Position::default()
            },
            moments: None,
            rare: findings::weights(&self.corpus.train),
            device: device.clone(),
        };
        if self.resume && self.state.exists() {
            run.resume()?;
        }
        while run.position.phase < PHASES.len() {
            if !run.phase()? {
                break;
            }
            run.position = Position { phase: run.position.phase + 1, step: 0, idle: 0, ..run.position };
            run.position.updates.clear();
        }
        let best = std::mem::take(&mut run.best);
        let writer = match best.is_empty() {
            true => run.writer.valid(),
            false => replace(run.writer.valid(), |name, _| best.get(name).cloned()),
        };
        let (weights, projector) = writer.to_weights();
        Ok(Outcome { weights, projector, looks: run.position.looks })
    }
}

struct Run<'a, B: AutodiffBackend> {
    job: TrainJob<'a>,
    writer: Writer<B>,
    best: Flat<B::InnerBackend>,
    position: Position,
    moments: Option<Moments<B::InnerBackend>>,
    /// How much each label's films count.
    rare: Vec<f32>,
    device: B::Device,
}

impl<B: AutodiffBackend> Run<'_, B> {
    fn steps(&self) -> usize {
        let config = self.job.config;
        [config.text_steps, config.projector_steps, config.joint_steps][self.position.phase]
    }

    /// One phase from where it stands; false when time or patience is up.
    fn phase(&mut self) -> Result<bool> {
        let (config, phase, total) = (self.job.config, self.position.phase, self.steps());
        self.writer = learnable(self.writer.clone());
        match phase {
            0 => {
                self.writer.projector = self.writer.projector.clone().no_grad();
                self.writer.findings = self.writer.findings.clone().map(Module::no_grad);
            }
            1 => self.writer.decoder = self.writer.decoder.clone().no_grad(),
            _ => {}
        }
        let rules = Rules { depth: self.job.llama.num_hidden_layers, layer_decay: 1.0, patch_embed: 1.0 };
        let mut learner = Learner::<B>::new(&self.writer, rules, config.clip);
        if let Some(moments) = self.moments.take() {
            learner.restore(moments);
        }
        let base = if phase == 2 { config.joint_rate } else { config.rate };
        let warmup = (config.warmup * total as f64) as usize;
        let schedule = Cosine { base, end: base * 0.05, start: base * 0.05, freeze: 0, warmup, total };
        let bar = progress(total, self.job.quiet);
        bar.set_position(self.position.step as u64);
        while self.position.step < total {
            if self.job.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                bar.finish_and_clear();
                return Ok(false);
            }
            self.step(&mut learner, &schedule, &bar)?;
            let at_end = self.position.step == total;
            if self.position.step.is_multiple_of(config.look_every) || at_end {
                let patient = self.look(&bar)?;
                let (first, second, updates) = learner.state();
                self.position.updates = updates;
                self.save(first, second)?;
                if !patient {
                    bar.finish_and_clear();
                    return Ok(false);
                }
            }
        }
        bar.finish_and_clear();
        Ok(true)
    }

    fn step(&mut self, learner: &mut Learner<B>, schedule: &Cosine, bar: &ProgressBar) -> Result<()> {
        let TrainJob { config, corpus, images, order, .. } = self.job;
        let (phase, step) = (self.position.phase, self.position.step);
        let seed = mix(config.seed ^ (phase as u64) << 32);
        let examples = drawn(&corpus.train, order, config.batch, step, seed);
        let mut random = Random::stream(seed ^ 0x6872, step as u64);
        let look = match phase {
            0 => Look::Text,
            _ => Look::Image(images, config.image_dropout, Some(&mut random)),
        };
        let loss = loss(&self.writer, &examples, look, config.smoothing, config.precision, &self.device);
        let labels = loss.findings.map(|logits| findings::loss(logits, &examples, &self.rare));
        let total =
            labels.map_or(loss.text.clone(), |labels| loss.text.clone().add(labels.mul_scalar(config.findings)));
        learner.add(&self.writer, &total);
        let rate = schedule.at(step);
        let rates = Rates { backbone: rate, heads: rate, last_layer: rate, weight_decay: config.weight_decay };
        let diverged = || {
            Error::new(ErrorKind::Data, format!("{} phase, step {step}: the run has diverged", PHASES[phase]))
                .hint("lower rate and joint_rate")
        };
        self.writer = learner.step(&self.writer, &rates).ok_or_else(diverged)?;
        self.position.step += 1;
        if bar.is_hidden() {
            return Ok(());
        }
        bar.set_message(format!("{} loss {:.3}{}", PHASES[phase], number(loss.text.inner()), self.said()));
        bar.inc(1);
        Ok(())
    }

    fn said(&self) -> String {
        let last = self.position.looks.last();
        last.map_or_else(String::new, |look| format!(" val {:.3} blind {:.3}", look.seeing, look.blind))
    }

    /// Looks at val; false when patience is up.
    fn look(&mut self, bar: &ProgressBar) -> Result<bool> {
        let TrainJob { config, corpus, images, looked_at, .. } = self.job;
        let phase = self.position.phase;
        let writer = self.writer.valid();
        let val: Vec<&Example> = spread(looked_at, config.look_films).map(|position| &corpus.val[position]).collect();
        let (mut sums, mut tokens) = ([0.0, 0.0], 0.0);
        for chunk in val.chunks(config.batch) {
            let weight = chunk.iter().map(|e| e.tokens.len() as f64 - 1.0).sum::<f64>();
            let looks = match phase {
                0 => [Look::Text, Look::Text],
                _ => [Look::Image(images, 0.0, None), Look::Blind(images)],
            };
            for (sum, look) in sums.iter_mut().zip(looks) {
                *sum += weight * number(loss(&writer, chunk, look, 0.0, config.precision, &self.device).text);
            }
            tokens += weight;
        }
        let [seeing, blind] = sums.map(|sum| sum / tokens);
        let findings = match phase > 0 && config.choose == Choice::Findings {
            true => self.findings(&writer)?,
            false => None,
        };
        let score = Score { phase, step: self.position.step, seeing, blind, findings };
        // of the phases that see: text alone is no report of a film
        if phase > 0 && best(&self.position.looks).is_none_or(|best| score.beats(best)) {
            self.best = collect(&writer);
            self.position.idle = 0;
        } else if phase > 0 {
            self.position.idle += 1;
        }
        self.position.looks.push(score);
        if !self.job.quiet {
            let found = findings.map_or_else(String::new, |f1| format!(", F1 {:.3}, blind {:.3}", f1.seeing, f1.blind));
            let at = format!("{} step {}", PHASES[phase], self.position.step);
            bar.suspend(|| eprintln!("{at}: val loss {seeing:.4}, blind {blind:.4}{found}"));
        }
        Ok(phase < 2 || self.position.idle < config.patience)
    }

    /// Micro-F1 of the labels in what `writer` writes about val films.
    fn findings(&self, writer: &Writer<B::InnerBackend>) -> Result<Option<F1>> {
        let TrainJob { config, corpus, images, llama, tokenizer, .. } = self.job;
        let (weights, projector) = writer.to_weights();
        let report = ReportConfig {
            encoder_width: images.width,
            grid: images.count().isqrt(),
            pool: 1,
            hidden: config.projector,
            max_tokens: config.max_tokens,
            ..ReportConfig::default()
        };
        let decoder = Llama {
            config: llama.clone(),
            weights,
            projector: Some((report, projector)),
            tokenizer: Some(tokenizer.to_owned()),
            sha256: String::new(),
        };
        let all: Vec<usize> = (0..corpus.val.len()).collect();
        let val: Vec<&Example> = spread(&all, config.look_films).map(|position| &corpus.val[position]).collect();
        findings::f1(&Decoder::from_llama(&decoder, "val")?, images, &val)
    }

    fn save(&self, first: Flat<B::InnerBackend>, second: Flat<B::InnerBackend>) -> Result<()> {
        let now = collect(&self.writer.valid());
        let tensors = [("now", now), ("best", self.best.clone()), ("first", first), ("second", second)];
        State { position: self.position.clone(), tensors: tensors.into() }.write(self.job.state)
    }

    fn resume(&mut self) -> Result<()> {
        let mut state = State::<B::InnerBackend>::read(self.job.state, &self.device)?;
        if state.position.fingerprint != self.job.fingerprint {
            let message = format!("{}: begun with other reports, settings or encoder", self.job.state.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("start again without --resume"));
        }
        let now = state.tensors.remove("now").unwrap_or_default();
        let from_inner = |name: &str, _| now.get(name).map(|tensor| Tensor::from_inner(tensor.clone()));
        self.writer = replace(self.writer.clone(), from_inner);
        self.best = state.tensors.remove("best").unwrap_or_default();
        self.position = state.position;
        let moments = ["first", "second"].map(|part| state.tensors.remove(part).unwrap_or_default());
        let [first, second] = moments;
        self.moments = Some((first, second, self.position.updates.clone()));
        Ok(())
    }
}

/// The best look of the phases that see.
pub fn best(looks: &[Score]) -> Option<&Score> {
    looks.iter().filter(|look| look.phase > 0).reduce(|best, look| if look.beats(best) { look } else { best })
}

/// At most `most` of `all`, evenly.
fn spread(all: &[usize], most: usize) -> impl Iterator<Item = usize> {
    let step = all.len().div_ceil(most.max(1)).max(1);
    all.iter().step_by(step).copied()
}

fn number<B: burn::tensor::backend::Backend>(loss: Tensor<B, 1>) -> f64 {
    values(loss).first().map_or(f64::NAN, |v| f64::from(*v))
}

/// The state file of a training that writes to `out`.
pub fn state_path(out: &Path) -> PathBuf {
    out.join("resume").join("report.safetensors")
}

/// When a training of at most `minutes` must stop.
pub fn deadline(minutes: Option<f64>) -> Option<Instant> {
    minutes.map(|minutes| Instant::now() + Duration::from_secs_f64(minutes.max(0.0) * 60.0))
}
