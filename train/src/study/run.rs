//! Trains and probes every arm, each once; what is done stays done.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::backend::AutodiffBackend;
use rad_dino_edge::checkpoint::{DType, EncoderWeights};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::arm::{Arm, Kind};
use super::questions::{self, Question};
use super::{Config, page, plot};
use crate::data::Dataset;
use crate::features::random::{Shape, weights};
use crate::features::{Encoder, extract};
use crate::pretrain::device::{Device, Job, on, run_on};
use crate::pretrain::start::{Backbone, backbone};
use crate::{files, language, pretrain, supervised};

/// What `study` was asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The study.
    pub config: Config,
    /// The folder to write.
    pub out: PathBuf,
    /// Where training computes.
    pub device: Device,
    /// Threads of the engine; 0 = one per core.
    pub threads: usize,
    /// On scans.
    pub limits: Limits,
    /// No progress and no notes.
    pub quiet: bool,
}

/// One arm, done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What was trained.
    pub arm: Arm,
    /// Why it was left out, if so.
    pub left_out: Option<String>,
    /// Seconds of training, of the last process that worked on it.
    pub seconds: f64,
    /// Test scores.
    pub questions: Vec<Question>,
}

/// Runs the study, or the rest of it; writes OUT/study.md, study.json and study.svg after every arm.
///
/// # Errors
/// `Usage` when OUT holds another study; those of training and probing.
pub fn run(request: &Request) -> Result<Vec<Outcome>> {
    let text = json(&request.config)?;
    let known = request.out.join("config.json");
    match std::fs::read(&known) {
        Ok(old) if old != text => {
            let message = format!("{} holds another study", request.out.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("name another --out"));
        }
        Ok(_) => {}
        Err(_) => files::write(&known, &text)?,
    }
    let dataset = Dataset::read(&request.config.data)?;
    let mut outcomes = Vec::new();
    for arm in request.config.all_arms() {
        let path = request.out.join("arms").join(arm.folder()).join("outcome.json");
        let done = std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Outcome>(&bytes).ok());
        let outcome = match done.filter(|outcome| outcome.arm == arm) {
            Some(outcome) => outcome,
            None => {
                if !request.quiet {
                    eprintln!("{}", arm.name());
                }
                let outcome = outcome(request, &dataset, &arm)?;
                files::write(&path, &json(&outcome)?)?;
                outcome
            }
        };
        outcomes.push(outcome);
        files::write(&request.out.join("study.json"), &json(&outcomes)?)?;
        files::write(&request.out.join("study.md"), page::markdown(&request.config, &outcomes).as_bytes())?;
        files::write(&request.out.join("study.svg"), plot::svg(&outcomes).as_bytes())?;
    }
    Ok(outcomes)
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::new(ErrorKind::Internal, "JSON").source(e))
}

fn outcome(request: &Request, dataset: &Dataset, arm: &Arm) -> Result<Outcome> {
    let started = Instant::now();
    let folder = request.out.join("arms").join(arm.folder());
    let mut outcome = Outcome { arm: arm.clone(), left_out: None, seconds: 0.0, questions: Vec::new() };
    match train(request, dataset, arm, &folder.join("encoder")) {
        Ok(()) => outcome.seconds = started.elapsed().as_secs_f64(),
        // data that cannot teach an arm cost only that arm
        Err(error) if error.kind() == ErrorKind::Data => {
            outcome.left_out = Some(error.message().to_owned());
            return Ok(outcome);
        }
        Err(error) => return Err(error),
    }
    let size = Some(request.config.image_size);
    let encoder = Encoder::from_checkpoint(&folder.join("encoder"), size, request.limits, request.threads)?;
    let films: Vec<PathBuf> = dataset.films.iter().map(|film| film.path.clone()).collect();
    let extracted = extract(&encoder, &films, &folder.join("features"), "features", request.quiet)?;
    let mut kept = vec![false; films.len()];
    extracted.kept.iter().for_each(|&i| kept[i] = true);
    let (mut readable, mut at) = (dataset.clone(), kept.into_iter());
    readable.retain(|_| at.next().unwrap_or(false));
    outcome.questions = questions::ask(&readable, &extracted.features);
    Ok(outcome)
}

/// Leaves the arm's encoder, a checkpoint folder, in `out`.
fn train(request: &Request, dataset: &Dataset, arm: &Arm, out: &Path) -> Result<()> {
    let config = &request.config;
    let start = config.start.as_deref();
    match arm.kind {
        Kind::Random => {
            let Backbone { weights: of, preprocessing } = backbone(&config.pretrain, start)?;
            weights(&Shape::of_config(&of.config))?.write(out, &preprocessing, DType::F32)
        }
        Kind::Start => {
            let Backbone { weights, preprocessing } = backbone(&config.pretrain, start)?;
            weights.write(out, &preprocessing, DType::F32)
        }
        Kind::Images | Kind::ImagesWithoutIbot | Kind::ImagesFromScratch => {
            let pretraining = pretrain::run::Request {
                config: config.pretraining(arm),
                data: config.data.clone(),
                out: out.to_owned(),
                init: start.filter(|_| arm.kind != Kind::ImagesFromScratch).map(Path::to_owned),
                resume: out.join("resume/state.safetensors").exists(),
                devices: Vec::new(),
                max_minutes: None,
                stop_at: None,
                quiet: request.quiet,
                limits: request.limits,
            };
            run_on(request.device, &pretraining).map(drop)
        }
        Kind::Labels | Kind::Reports => {
            let Backbone { weights, preprocessing } = backbone(&config.pretrain, start)?;
            let job = Supervision { request, dataset, arm, start: &weights, preprocessing: &preprocessing };
            on(request.device, job)?.write(out, &preprocessing, DType::F32)
        }
    }
}

struct Supervision<'a> {
    request: &'a Request,
    dataset: &'a Dataset,
    arm: &'a Arm,
    start: &'a EncoderWeights,
    preprocessing: &'a Preprocessing,
}

impl Job for Supervision<'_> {
    type Output = EncoderWeights;

    fn run<B: AutodiffBackend>(self, device: &B::Device) -> Result<EncoderWeights> {
        let Supervision { request, dataset, arm, start, preprocessing } = self;
        let (config, limits, quiet) = (request.config.supervision(arm), request.limits, request.quiet);
        match arm.kind {
            Kind::Reports => {
                let text = request.config.text_encoder.as_deref();
                language::pair::<B>(&config, dataset, start, text, preprocessing, limits, quiet, device)
                    .map(|p| p.weights)
            }
            _ => {
                supervised::tune::<B>(&config, dataset, start, preprocessing, limits, quiet, device).map(|t| t.weights)
            }
        }
    }
}
