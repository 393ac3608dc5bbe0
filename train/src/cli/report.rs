//! `rad-dino-train report`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use rad_dino_edge::checkpoint::{self, Llama, LlamaConfig, LlamaWeights, ReportConfig};
use rad_dino_edge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::options::{Common, DeviceChoice, Featured, ScanLimits, featured};
use super::{Tally, json, print};
use crate::data::{Dataset, Split};
use crate::features::{Encoder, FeatureSource};
use crate::files;
use crate::linalg::Matrix;
use crate::linalg::standard::{Standard, Sums};
use crate::pretrain::device::on;
use crate::probe::folder;
use crate::report::batch::Images;
use crate::report::corpus::{MIN_REPORTS, Text, retain, texts, training_data};
use crate::report::image_tokens::ImageTokens;
use crate::report::rarity::orders;
use crate::report::tokenizer::{END, START, Tokenizer};
use crate::report::train::{PHASES, best, deadline, state_path};
use crate::report::{Config, Corpus, Removed, TrainJob, weights};

/// Trains a decoder that writes reports: a projector from the frozen encoder's patch tokens, and a small Llama-style
/// decoder, first on the reports alone, then the projector, then both. Writes OUT/report (beside a copy of the encoder),
/// which `rad-dino-quantize convert OUT` turns into a second file. Prints one JSON object.
#[derive(Debug, Args)]
pub struct Report {
    /// Checkpoint folder of the encoder.
    #[arg(long, value_name = "DIR")]
    encoder: PathBuf,
    /// Films with reports; may be given several times.
    #[arg(long, value_name = "CSV", required = true)]
    data: Vec<PathBuf>,
    /// Checkpoint folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How (TOML); train/configs/report.toml explains every key and holds the defaults.
    #[arg(long, value_name = "TOML")]
    config: Option<PathBuf>,
    /// Decoder to start from: a Llama-architecture folder with its tokenizer.json. Without it a fresh one, and a tokenizer
    /// trained on the reports.
    #[arg(long, value_name = "DIR")]
    decoder: Option<PathBuf>,
    /// Films that have findings and no report get one composed from their labels.
    #[arg(long)]
    compose: bool,
    /// Learn the reports as they are: no sentence and no mark is taken out.
    #[arg(long)]
    no_cleaning: bool,
    /// Input side in pixels; without it the preprocessor's.
    #[arg(long, value_name = "S")]
    image_size: Option<usize>,
    /// Where features are kept; without it OUT/features.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Go on where a run with the same settings stopped.
    #[arg(long)]
    resume: bool,
    /// Stop after so many minutes of training and keep the best look.
    #[arg(long, value_name = "N")]
    max_minutes: Option<f64>,
    /// Where to train.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// Licence of the decoder, kept in report.json.
    #[arg(long, value_name = "TEXT")]
    licence: Option<String>,
    #[command(flatten)]
    limits: ScanLimits,
    #[command(flatten)]
    common: Common,
}

/// Where a training starts.
struct Start {
    tokenizer: Tokenizer,
    llama: LlamaConfig,
    weights: LlamaWeights,
    start: Option<u32>,
    end: u32,
}

impl Report {
    pub(super) fn run(self) -> Result<Tally> {
        self.common.start()?;
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::read)?;
        if self.no_cleaning {
            config.cleaning = crate::report::Cleaning::NONE;
        }
        let mut dataset = Dataset::read(&self.data)?;
        dataset.retain(|film| film.row.split() != Split::Test);
        let written = texts(&dataset, &config.cleaning, self.compose, &mut Removed::default());
        retain(&mut dataset, &written);
        if dataset.films.is_empty() {
            return Err(Error::new(ErrorKind::Data, "no film of the train and val splits has a report")
                .hint("give --data with a report column, or --compose to make reports of labels"));
        }
        folder::prepare(&self.encoder, &self.out, self.image_size)?;
        copy_probes(&self.encoder, &self.out)?;
        let encoder = Encoder::from_checkpoint(&self.out, self.image_size, self.limits.limits(), self.common.threads)?;
        let source = ImageTokens::new(&encoder, config.pool);
        let cache = self.cache.clone().unwrap_or_else(|| self.out.join("features"));
        let mut featured = featured(&source, &dataset, &cache, "image tokens", self.common.quiet)?;
        let mut removed = Removed::default();
        let written = texts(&featured.dataset, &config.cleaning, self.compose, &mut removed);
        self.say(&featured, &written, &removed);
        let start = self.start(&config, &featured.dataset, &written)?;
        let ends = (start.start, start.end);
        let corpus = Corpus::new(&featured.dataset, &written, &start.tokenizer, ends, config.max_tokens)?;
        let standard = standardise(&mut featured.features, encoder.dim(), &corpus);
        let projector = weights::fresh_projector(encoder.dim(), config.projector, start.llama.hidden_size, config.seed);
        let tokenizer = start.tokenizer.to_json()?;
        let identity = format!("{config:?}\n{}\n{tokenizer}\n{corpus:?}\n{:?}", source.key(), start.llama);
        let fingerprint: String = Sha256::digest(identity).iter().map(|b| format!("{b:02x}")).collect();
        let (order, looked_at) = orders(&featured.dataset, &corpus, &written, &config);
        let job = TrainJob {
            config: &config,
            corpus: &corpus,
            order: &order,
            looked_at: &looked_at,
            images: Images { features: &featured.features, width: encoder.dim() },
            llama: &start.llama,
            start: (&start.weights, &projector),
            fingerprint: &fingerprint,
            tokenizer: &tokenizer,
            state: &state_path(&self.out),
            resume: self.resume,
            deadline: deadline(self.max_minutes),
            quiet: self.common.quiet,
        };
        let mut outcome = on(self.device.into(), job)?;
        standard.fold(&mut outcome.projector.fc1_weight, &mut outcome.projector.fc1_bias);
        let report = ReportConfig {
            encoder_width: encoder.dim(),
            grid: source.grid(),
            pool: config.pool,
            hidden: config.projector,
            encoder_sha256: encoder.engine().sha256().to_owned(),
            max_tokens: config.max_tokens,
            training_data: training_data(&featured.dataset, &written),
            licence: self.licence.clone().unwrap_or_default(),
            ..ReportConfig::default()
        };
        self.write(&start, &report, &outcome, tokenizer, &removed)?;
        let best = best(&outcome.looks);
        print(&json(&serde_json::json!({
            "reports": {"train": corpus.train.len(), "val": corpus.val.len()},
            "composed": written.iter().filter(|text| text.composed).count(),
            "vocabulary": start.llama.vocab_size,
            "parameters": parameters(&outcome.weights, &outcome.projector),
            "best": best.map(|look| serde_json::json!({
                "phase": PHASES[look.phase], "step": look.step, "val_loss": look.seeing, "val_loss_blind": look.blind,
                "val_findings_f1": look.findings,
            })),
        }))?)?;
        Ok(Tally { done: featured.dataset.films.len(), failed: featured.failed })
    }

    /// What is learnt from, and what was taken out of it.
    fn say(&self, featured: &Featured, written: &[Text], removed: &Removed) {
        let composed = written.iter().filter(|text| text.composed).count();
        let sum = |counts: &BTreeMap<String, usize>| counts.values().sum::<usize>();
        self.common.note(&format!(
            "{} films, {} written reports, {composed} composed; taken out: {} marks, {} view and {} comparison sentences \
             (report/cleaning.json lists them), {} reports left empty",
            featured.dataset.films.len(),
            written.len() - composed,
            removed.marks,
            sum(&removed.views),
            sum(&removed.comparisons),
            removed.empty,
        ));
    }

    fn start(&self, config: &Config, dataset: &Dataset, written: &[Text]) -> Result<Start> {
        if let Some(dir) = &self.decoder {
            let llama = Llama::read(dir)?;
            let refuse = |what: &str| {
                Error::new(ErrorKind::Checkpoint, format!("{}: {what}", dir.display()))
                    .hint("save model and tokenizer into one folder with transformers")
            };
            let json = llama.tokenizer.ok_or_else(|| refuse("no tokenizer.json in this folder"))?;
            let tokenizer = Tokenizer::parse(&json)?;
            let end = llama.config.eos_token_ids.first().copied().ok_or_else(|| refuse("there is no end token"))?;
            if tokenizer.len() > llama.config.vocab_size {
                return Err(refuse("its tokenizer has more tokens than its model"));
            }
            let (start, weights) = (llama.config.bos_token_id, llama.weights);
            return Ok(Start { tokenizer, llama: llama.config, weights, start, end });
        }
        let of_train = |text: &&Text| dataset.films[text.film].row.split() == Split::Train;
        let train: Vec<&str> = written.iter().filter(of_train).map(|text| text.text.as_str()).collect();
        if train.len() < MIN_REPORTS {
            let message = format!("{} films of the train split have a report; {MIN_REPORTS} are needed", train.len());
            return Err(Error::new(ErrorKind::Data, message).hint("--compose makes reports of labels"));
        }
        let tokenizer = Tokenizer::train(train.into_iter(), config.vocabulary)?;
        let special =
            |text: &str| tokenizer.token(text).ok_or_else(|| Error::new(ErrorKind::Internal, "special token"));
        let (start, end) = (special(START)?, special(END)?);
        let llama = weights::fresh_config(config, tokenizer.len(), start, end);
        let weights = weights::fresh(&llama, config.seed);
        Ok(Start { tokenizer, llama, weights, start: Some(start), end })
    }

    fn write(
        &self,
        start: &Start,
        report: &ReportConfig,
        outcome: &crate::report::Outcome,
        tokenizer: String,
        removed: &Removed,
    ) -> Result<()> {
        let dir = self.out.join("report");
        let llama = Llama {
            config: start.llama.clone(),
            weights: outcome.weights.clone(),
            projector: Some((report.clone(), outcome.projector.clone())),
            tokenizer: Some(tokenizer),
            sha256: String::new(),
        };
        llama.write(&dir)?;
        let mut lines = String::new();
        for look in &outcome.looks {
            let look = serde_json::json!({
                "phase": PHASES[look.phase], "step": look.step, "val_loss": look.seeing, "val_loss_blind": look.blind,
                "val_findings_f1": look.findings,
            });
            lines.push_str(&format!("{look}\n"));
        }
        files::write(&dir.join("metrics.jsonl"), lines.as_bytes())?;
        files::write(&dir.join("cleaning.json"), json(removed)?.as_bytes())
    }
}

/// The encoder's heads go along, unless OUT has its own.
fn copy_probes(encoder: &Path, out: &Path) -> Result<()> {
    if out.join("probes.json").exists() {
        return Ok(());
    }
    for name in ["probes.safetensors", "probes.json"] {
        let from = encoder.join(name);
        if from.exists() {
            files::write(&out.join(name), &std::fs::read(&from).map_err(|e| Error::io(&from, e))?)?;
        }
    }
    Ok(())
}

/// Turns the image tokens of `features` [films, (1 + I)·E] into deviations from their mean over the train reports; the CLS
/// token, which comes first, stays. Films differ by far less than an encoder's tokens are large, and a projector that starts
/// on raw ones takes hundreds of steps to see any difference.
fn standardise(features: &mut Matrix, width: usize, corpus: &Corpus) -> Standard {
    let mut sums = Sums::new(width);
    for example in &corpus.train {
        let tokens = features.row(example.film)[width..].chunks_exact(width);
        tokens.for_each(|token| sums.add(token.iter().map(|x| f64::from(*x))));
    }
    let standard = sums.standard();
    for film in features.values.chunks_exact_mut(features.cols.max(1)) {
        standard.apply(&mut film[width..]);
    }
    standard
}

fn parameters(weights: &LlamaWeights, projector: &checkpoint::Projector) -> usize {
    let pair = |part: &(Vec<f32>, Vec<f32>)| part.0.len() + part.1.len();
    let blocks = weights.blocks.iter().map(|b| {
        let layers = [&b.query, &b.key, &b.value, &b.output, &b.gate, &b.up, &b.down];
        b.norm1.len() + b.norm2.len() + layers.into_iter().map(pair).sum::<usize>()
    });
    let projector = [&projector.fc1_weight, &projector.fc1_bias, &projector.fc2_weight, &projector.fc2_bias];
    weights.embedding.len()
        + weights.norm.len()
        + weights.head.as_ref().map_or(0, Vec::len)
        + blocks.sum::<usize>()
        + projector.into_iter().map(Vec::len).sum::<usize>()
}
