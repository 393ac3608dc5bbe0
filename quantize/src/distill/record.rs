//! What a run writes down: metrics.jsonl and watch.jsonl, and their curves.

use std::path::Path;

use rad_dino_edge::Result;
use rad_dino_train::pretrain::curve::{Panel, draw_panels};
use rad_dino_train::pretrain::metrics::{Line, read};
use serde::{Deserialize, Serialize};

/// Points a curve.
const POINTS: usize = 700;

/// One step, after it was taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 0.
    pub step: usize,
    /// What is minimised.
    pub loss: f64,
    /// 1 − cosine of CLS, standardised features.
    pub loss_cls_cosine: f64,
    /// Smooth L1 of CLS.
    pub loss_cls_l1: f64,
    /// 1 − cosine of patch tokens, standardised features.
    pub loss_patch_cosine: f64,
    /// Smooth L1 of patch tokens.
    pub loss_patch_l1: f64,
    /// Cosines between films.
    pub loss_relation: f64,
    /// Cross-entropy on the teacher's head.
    pub loss_head: f64,
    /// Encoder's learning rate.
    pub lr: f64,
    /// Whether linear layers rounded to int8.
    pub int8: bool,
    /// Gradient norm of the encoder before clipping.
    pub grad_norm: f64,
    /// Views a second.
    pub images_per_second: f64,
}

/// One look at val; cosines to the teacher, means over films (and patches).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Steps done.
    pub step: usize,
    /// CLS through the adapter against the teacher's.
    pub cls: f64,
    /// Patch tokens.
    pub patches: f64,
    /// CLS in deviations from the mean: what differs between films.
    pub cls_standardised: f64,
    /// Patch tokens in deviations from the mean.
    pub patches_standardised: f64,
    /// Whether linear layers rounded to int8.
    pub int8: bool,
    /// Val films.
    pub films: usize,
}

impl Line for Record {
    fn done(&self) -> usize {
        self.step + 1
    }
}

impl Line for Report {
    fn done(&self) -> usize {
        self.step
    }
}

impl Report {
    /// In a line.
    pub fn summary(&self) -> String {
        format!(
            "step {}: val cosine CLS {:.4}, patches {:.4} (standardised {:.4}, {:.4}){}",
            self.step,
            self.cls,
            self.patches,
            self.cls_standardised,
            self.patches_standardised,
            if self.int8 { ", int8 rounding" } else { "" }
        )
    }
}

/// Draws curves.svg and watch.svg of the run in `out`.
///
/// # Errors
/// `Io` naming the file.
pub fn draw(out: &Path) -> Result<()> {
    let records: Vec<Record> = read(&out.join("metrics.jsonl"))?;
    let over = |name: &str, value: fn(&Record) -> f64| -> Panel {
        let group = records.len().div_ceil(POINTS).max(1);
        let mean = |chunk: &[Record]| {
            let n = chunk.len() as f64;
            (chunk.iter().map(|r| r.step as f64).sum::<f64>() / n, chunk.iter().map(value).sum::<f64>() / n)
        };
        (name.to_owned(), records.chunks(group).map(mean).filter(|(_, y)| y.is_finite()).collect())
    };
    draw_panels(
        &out.join("curves.svg"),
        &[
            over("loss", |r| r.loss),
            over("loss_cls_cosine", |r| r.loss_cls_cosine),
            over("loss_cls_l1", |r| r.loss_cls_l1),
            over("loss_patch_cosine", |r| r.loss_patch_cosine),
            over("loss_patch_l1", |r| r.loss_patch_l1),
            over("loss_relation", |r| r.loss_relation),
            over("lr", |r| r.lr),
            over("images_per_second", |r| r.images_per_second),
        ],
    )?;
    let reports: Vec<Report> = read(&out.join("watch.jsonl"))?;
    let looks = |name: &str, value: fn(&Report) -> f64| -> Panel {
        (format!("val: {name}"), reports.iter().map(|r| (r.step as f64, value(r))).collect())
    };
    if reports.is_empty() {
        return Ok(());
    }
    draw_panels(
        &out.join("watch.svg"),
        &[
            looks("cosine of CLS", |r| r.cls),
            looks("cosine of patch tokens", |r| r.patches),
            looks("cosine of CLS, standardised", |r| r.cls_standardised),
            looks("cosine of patch tokens, standardised", |r| r.patches_standardised),
        ],
    )
}
