//! `info`: what a model is, and what runs it.

use clap::Args;
use rad_dino_kernels::Isa;
use serde::Serialize;

use super::options::{Common, Format, ModelChoice};
use super::{Tally, json, model, print};
use crate::error::Result;
use crate::model::Manifest;
use crate::model::manifest::NOTICE;
use crate::output::json::{EngineInfo, Model};

/// What a model is, and what this machine runs it with.
#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    model: ModelChoice,
    /// text or json.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    model: Model,
    engine: EngineInfo,
    available_isas: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<&'a Manifest>,
}

impl Info {
    pub(super) fn run(&self) -> Result<Tally> {
        let loaded = model::load(&self.model, &self.common, None)?;
        let engine = &loaded.engine;
        let available = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::as_str).collect();
        let report = Report {
            schema: "rad-dino-edge/info/1",
            model: Model::new(engine, &loaded.name),
            engine: EngineInfo::new(engine),
            available_isas: available,
            manifest: engine.manifest(),
        };
        match self.format {
            Format::Json => print(&json(&report)?)?,
            Format::Text => print(&text(&report))?,
        }
        Ok(Tally { done: 1, failed: 0 })
    }
}

fn text(report: &Report<'_>) -> String {
    let (model, engine) = (&report.model, &report.engine);
    let mut lines = vec![
        format!("model      {} (sha256 {})", model.name, model.sha256),
        format!(
            "encoder    width {}, patch {}, {} px, {}",
            model.embed_dim,
            model.patch_size,
            model.image_size,
            model.precision.unwrap_or("foreign graph")
        ),
        format!(
            "engine     {} {}, {} threads; this CPU has {}",
            engine.version,
            engine.isa,
            engine.threads,
            report.available_isas.join(", ")
        ),
    ];
    if let Some(manifest) = report.manifest {
        lines.push(format!("version    {}", manifest.version));
        lines.push(format!("licence    {}", manifest.licence));
        for data in &manifest.training_data {
            lines.push(format!("trained on {} films of {} ({})", data.films, data.source, data.licence));
        }
        for f in &manifest.heads.findings {
            lines.push(format!("finding    {} (threshold {:.3})", f.label, f.threshold));
        }
        let heads = &manifest.heads;
        let others = [(heads.sex.is_some(), "sex"), (heads.age, "age"), (!heads.view.is_empty(), "view")];
        let others: Vec<_> = others.iter().filter(|(there, _)| *there).map(|(_, name)| *name).collect();
        if !others.is_empty() {
            lines.push(format!("also       {}", others.join(", ")));
        }
        if !heads.segmentation.is_empty() {
            lines.push(format!("draws      {}", heads.segmentation.join(", ")));
        }
        for m in &manifest.metrics {
            if let (Some(value), Some(low), Some(high)) = (m.value, m.low, m.high) {
                lines.push(format!(
                    "measured   {} {} {} {value:.3} [{low:.3}, {high:.3}] on {} films of {}",
                    m.task, m.label, m.metric, m.n, m.source
                ));
            }
        }
    }
    lines.push(NOTICE.into());
    lines.join("\n")
}
