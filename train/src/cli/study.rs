//! `rad-dino-train study`.

use std::path::PathBuf;

use clap::Args;
use rad_dino_edge::Result;

use super::options::{Common, DeviceChoice, ScanLimits};
use super::{Tally, json, print};
use crate::study::{Config, Request, run};

/// Trains the same backbone from the same start with the same budget on images alone, on reports, on labels and not at
/// all, probes each frozen, and writes OUT/study.md, study.json and study.svg. Goes on where it stopped. Prints one JSON
/// object an arm.
#[derive(Debug, Args)]
pub struct Study {
    /// The study (TOML); train/configs/study.toml explains the keys.
    #[arg(long, value_name = "TOML")]
    config: PathBuf,
    /// Folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Where to train.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceChoice,
    #[command(flatten)]
    limits: ScanLimits,
    #[command(flatten)]
    common: Common,
}

impl Study {
    pub(super) fn run(self) -> Result<Tally> {
        let config = Config::read(&self.config)?;
        self.common.start()?;
        let request = Request {
            config,
            out: self.out.clone(),
            device: self.device.into(),
            threads: self.common.threads,
            limits: self.limits.limits(),
            quiet: self.common.quiet,
        };
        let outcomes = run(&request)?;
        for outcome in &outcomes {
            let estimate = |q: &crate::study::questions::Question| {
                serde_json::json!({"source": q.source, "label": q.label,
                    "metric": if q.is_age() { "mae" } else { "auroc" }, "n": q.truth.len(), "estimate": q.estimate()})
            };
            let metrics: Vec<_> = outcome.questions.iter().map(estimate).collect();
            print(&json(
                &serde_json::json!({"arm": outcome.arm.name(), "left_out": outcome.left_out, "metrics": metrics}),
            )?)?;
        }
        self.common.note(&format!("{}", self.out.join("study.md").display()));
        Ok(Tally { done: outcomes.len(), failed: 0 })
    }
}
