//! `rad-dino-train pretrain`.

use std::path::PathBuf;

use clap::Args;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::Tally;
use super::options::{Common, DeviceChoice, ScanLimits};
use crate::pretrain::config::Config;
use crate::pretrain::device::run_on;
use crate::pretrain::run::Request;

/// Trains an encoder on radiographs without labels (DINOv2: CLS and masked-patch self-distillation), from a checkpoint
/// or from scratch. OUT becomes a checkpoint folder.
#[derive(Debug, Args)]
pub struct Pretrain {
    /// Configuration (TOML); train/configs has profiles, default.toml explains every key.
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
    /// Films: manifests or packed files; may be given several times.
    #[arg(long, value_name = "CSV|PACK", required = true)]
    data: Vec<PathBuf>,
    /// Checkpoint folder to write; OUT/resume holds the state, OUT/metrics.jsonl one object a step.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Checkpoint folder to start from; without it the encoder starts from scratch.
    #[arg(long, value_name = "DIR")]
    init: Option<PathBuf>,
    /// Go on where OUT/resume stopped.
    #[arg(long)]
    resume: bool,
    /// Fit the whole schedule to this time, measured in the first steps.
    #[arg(long, value_name = "N")]
    max_minutes: Option<f64>,
    /// Save and stop once this many steps are done, as if interrupted; --resume goes on.
    #[arg(long, value_name = "STEP")]
    stop_at: Option<usize>,
    /// Where to compute.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    /// Devices of this machine that share the micro-batches of each step, by number; train.accumulate must be a
    /// multiple of how many they are, and the result is that of one.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    devices: Vec<usize>,
    #[command(flatten)]
    limits: ScanLimits,
    #[command(flatten)]
    common: Common,
}

impl Pretrain {
    pub(super) fn run(self) -> Result<Tally> {
        if self.max_minutes.is_some_and(|m| !(m.is_finite() && m > 0.0)) {
            return Err(Error::new(ErrorKind::Usage, "--max-minutes must be above 0").hint("e.g. --max-minutes 120"));
        }
        let config = Config::read(&self.config)?;
        self.common.start()?;
        let request = Request {
            config,
            data: self.data.clone(),
            out: self.out.clone(),
            init: self.init.clone(),
            resume: self.resume,
            devices: self.devices.clone(),
            max_minutes: self.max_minutes,
            stop_at: self.stop_at,
            quiet: self.common.quiet,
            limits: self.limits.limits(),
        };
        let summary = run_on(self.device.into(), &request)?;
        self.common.note(&format!(
            "{} of {} steps, {:.2} films/s, loss {:.3}: {}",
            summary.steps,
            summary.total,
            summary.images_per_second,
            summary.loss,
            self.out.display()
        ));
        if summary.skipped > 0 {
            self.common.note(&format!("{} films could not be read and were left out", summary.skipped));
        }
        // bad films are named and counted; the run itself is whole
        Ok(Tally { done: 1, failed: 0 })
    }
}
