//! `doctor`: whether this machine is fit to run.

use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use clap::Args;
use rad_dino_kernels::Isa;
use serde::Serialize;

use super::options::{Common, Format, ModelChoice};
use super::{Tally, json, model, print};
use crate::doctor::{self, Answer, Check, Reference, Status};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::signature::{self, Key};

/// Whether this machine is fit to run: model, arithmetic, memory, disk, clock, ports. Exit code 0 when nothing failed
/// (warnings are no failure), 3 when the model or its arithmetic did, else 1.
#[derive(Debug, Args)]
pub struct Doctor {
    #[command(flatten)]
    model: ModelChoice,
    /// Also check the model's signature (--model's FILE.minisig) with this minisign key.
    #[arg(long, value_name = "PUB", requires = "model")]
    key: Option<String>,
    /// The folder that results go to: can it be written to, how much room is left?
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Ports that must be free.
    #[arg(long, value_name = "P")]
    port: Vec<u16>,
    /// text or json.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    common: Common,
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    version: &'static str,
    ok: bool,
    checks: &'a [Check],
}

impl Doctor {
    pub(super) fn run(&self) -> Result<Tally> {
        let key = self.key.as_deref().map(Key::read).transpose()?;
        let mut checks = vec![doctor::cpu(), doctor::threads(self.common.threads)];
        if let (Some(key), Some(file)) = (key, &self.model.model) {
            checks.push(match key.verify(file, &signature::beside(file)) {
                Ok(signed) => Check::ok("signature", format!("good, by {}: {}", signed.key_id, signed.trusted_comment)),
                Err(error) => Check::from_error("signature", &error),
            });
        }
        // Bytes that nobody vouches for are not even parsed.
        if checks.iter().all(|check| check.status != Status::Failed) {
            checks.extend(self.model());
        }
        checks.push(doctor::memory());
        checks.extend(doctor::temperature());
        checks.extend(self.out.as_deref().map(doctor::disk));
        checks.extend(self.port.iter().map(|port| doctor::port(*port)));
        let installed = std::env::current_exe().and_then(std::fs::metadata).and_then(|m| m.modified());
        checks.push(doctor::clock(SystemTime::now(), installed.ok()));
        self.end(&checks)
    }

    fn model(&self) -> Vec<Check> {
        const NAME: &str = "model";
        let clock = Instant::now();
        let loaded = match model::load(&self.model, &self.common, None) {
            Ok(loaded) => loaded,
            Err(error) => return vec![Check::from_error(NAME, &error)],
        };
        let engine = &loaded.engine;
        let described = match engine.manifest() {
            Some(m) => format!("{} {}, {}, {} px", m.name, m.version, m.precision.as_str(), engine.shape().image_size),
            None => format!("{}, a graph from elsewhere, without a manifest", loaded.name),
        };
        let described =
            format!("{described}, sha256 {}, loaded in {:.0} ms", engine.sha256(), clock.elapsed().as_secs_f64() * 1e3);
        let model = match engine.manifest() {
            Some(_) => Check::ok(NAME, described),
            None => Check::warning(NAME, described, "infer refuses it; make a model with rad-dino-quantize convert"),
        };
        let check = self.self_check(engine).unwrap_or_else(|error| Check::from_error("self-check", &error));
        vec![model, check]
    }

    fn self_check(&self, engine: &Engine) -> Result<Check> {
        let answer = Answer::of(engine)?;
        let reference = match doctor::known(engine.sha256()) {
            Some(recorded) => Reference::Recorded(recorded),
            None => Reference::Scalar(Answer::of(&model::load_on(&self.model, self.common.threads, Isa::Scalar)?)?),
        };
        Ok(doctor::compare(engine, &answer, &reference))
    }

    /// Prints, and turns failures into the exit code.
    fn end(&self, checks: &[Check]) -> Result<Tally> {
        let failed: Vec<_> = checks.iter().filter(|check| check.status == Status::Failed).map(|c| c.name).collect();
        let report = Report {
            schema: "rad-dino-edge/doctor/1",
            version: env!("CARGO_PKG_VERSION"),
            ok: failed.is_empty(),
            checks,
        };
        match self.format {
            Format::Json => print(&json(&report)?)?,
            Format::Text => print(&text(checks))?,
        }
        if failed.iter().any(|name| ["signature", "model", "self-check"].contains(name)) {
            return Err(Error::new(ErrorKind::Model, format!("not fit to run: {}", failed.join(", "))));
        }
        Ok(Tally { done: checks.len() - failed.len(), failed: failed.len() })
    }
}

fn text(checks: &[Check]) -> String {
    let mut lines = vec![];
    for check in checks {
        let word = match check.status {
            Status::Ok => "ok",
            Status::Warning => "warning",
            Status::Failed => "FAILED",
        };
        lines.push(format!("{word:8} {:12} {}", check.name, check.detail));
        lines.extend(check.hint.iter().map(|hint| format!("{:21} hint: {hint}", "")));
    }
    lines.join("\n")
}
