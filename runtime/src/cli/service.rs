//! What `watch` and `listen`, and in part `serve`, share: options, each from the command line, else from the
//! environment, else from the configuration file, else a default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::model;
use super::options::{Common, ModelChoice};
use crate::error::{Error, ErrorKind, Result};
use crate::reader::Reader;
use crate::scan::Limits;
use crate::service::{Queue, Retry, Service, Settings, Stop, log};

/// Longest configuration file, bytes.
const MAX_CONFIG: u64 = 1 << 20;

/// Options of both.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServiceOptions {
    /// Folder for the queue, the spool, the results and the audit.
    #[arg(long, value_name = "DIR", env = "RDE_OUT")]
    pub out: Option<PathBuf>,
    /// Configuration file (TOML): the options by their long names, hyphens as underscores.
    #[arg(long, value_name = "FILE.toml", env = "RDE_CONFIG")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// Model file; without it the embedded model.
    #[arg(long, value_name = "FILE", env = "RDE_MODEL")]
    pub model: Option<PathBuf>,
    /// What words reports: a decoder or a retrieval file of rad-dino-quantize [default: MODEL.report.onnx beside --model
    /// MODEL.onnx, else the embedded one; where there is none, fixed sentences over the probes].
    #[arg(long, value_name = "FILE", env = "RDE_DECODER")]
    pub decoder: Option<PathBuf>,
    /// Leave out sentences that the calibrated probes contradict; false keeps them, marked. [default: true]
    #[arg(long, value_name = "BOOL", env = "RDE_REPORT_GROUNDED")]
    pub report_grounded: Option<bool>,
    /// Threads of the model; 0 = one per core. Results do not depend on it. [default: 0]
    #[arg(long, value_name = "N", env = "RDE_THREADS")]
    pub threads: Option<usize>,
    /// Scans decoded at the same time. [default: 2]
    #[arg(long, value_name = "N", env = "RDE_WORKERS")]
    pub workers: Option<usize>,
    /// Nothing is taken in while this many scans wait. [default: 10000]
    #[arg(long, value_name = "N", env = "RDE_MAX_QUEUE")]
    pub max_queue: Option<u64>,
    /// Nothing is taken in while the disk has less room. [default: 1000]
    #[arg(long, value_name = "MB", env = "RDE_MIN_FREE_MB")]
    pub min_free_mb: Option<u64>,
    /// Tries of a scan that fails for a reason that may pass, before it becomes a dead letter. [default: 5]
    #[arg(long, value_name = "N", env = "RDE_ATTEMPTS")]
    pub attempts: Option<u32>,
    /// Pause before the second try; each further one is twice as long, up to ten minutes. [default: 5]
    #[arg(long, value_name = "SECONDS", env = "RDE_RETRY_SECONDS")]
    pub retry_seconds: Option<f64>,
    /// Remove what came in and its results so many days after they were finished. Without it everything is kept.
    #[arg(long, value_name = "DAYS", env = "RDE_KEEP_DAYS")]
    pub keep_days: Option<u32>,
    /// Give the dead letters of earlier runs another chance.
    #[arg(long)]
    #[serde(skip)]
    pub retry_dead: bool,
    /// Largest file, MB. [default: 256]
    #[arg(long, value_name = "MB", env = "RDE_MAX_FILE_MB")]
    pub max_file_mb: Option<u64>,
    /// Longest side, pixels. [default: 20000]
    #[arg(long, value_name = "PIXELS", env = "RDE_MAX_SIDE")]
    pub max_side: Option<u32>,
    /// Largest decoded picture, MB. [default: 512]
    #[arg(long, value_name = "MB", env = "RDE_MAX_DECODED_MB")]
    pub max_decoded_mb: Option<u64>,
    /// Log warnings and errors alone.
    #[arg(long)]
    #[serde(skip)]
    pub quiet: bool,
}

impl ServiceOptions {
    /// What is not given here comes from `file`.
    pub fn or(self, file: ServiceOptions) -> ServiceOptions {
        ServiceOptions {
            out: self.out.or(file.out),
            config: self.config,
            model: self.model.or(file.model),
            decoder: self.decoder.or(file.decoder),
            report_grounded: self.report_grounded.or(file.report_grounded),
            threads: self.threads.or(file.threads),
            workers: self.workers.or(file.workers),
            max_queue: self.max_queue.or(file.max_queue),
            min_free_mb: self.min_free_mb.or(file.min_free_mb),
            attempts: self.attempts.or(file.attempts),
            retry_seconds: self.retry_seconds.or(file.retry_seconds),
            keep_days: self.keep_days.or(file.keep_days),
            retry_dead: self.retry_dead,
            max_file_mb: self.max_file_mb.or(file.max_file_mb),
            max_side: self.max_side.or(file.max_side),
            max_decoded_mb: self.max_decoded_mb.or(file.max_decoded_mb),
            quiet: self.quiet,
        }
    }

    /// Of scans.
    pub fn limits(&self) -> Limits {
        let default = Limits::default();
        let bytes = |mb: u64| mb.saturating_mul(1_000_000);
        Limits {
            max_file_bytes: self.max_file_mb.map_or(default.max_file_bytes, bytes),
            max_side: self.max_side.unwrap_or(default.max_side),
            max_decoded_bytes: self.max_decoded_mb.map_or(default.max_decoded_bytes, bytes),
        }
    }

    /// What the service is told, but for where results are sent.
    pub fn settings(&self) -> Result<Settings> {
        let default = Settings::default();
        let usage = |message: &str| Err(Error::new(ErrorKind::Usage, message));
        let retry = Retry::default();
        let first = match self.retry_seconds.map(Duration::try_from_secs_f64) {
            None => retry.first,
            Some(Ok(first)) => first,
            Some(Err(_)) => return usage("--retry-seconds must be a number that is not negative"),
        };
        let attempts = self.attempts.unwrap_or(retry.attempts);
        let workers = self.workers.unwrap_or(default.workers);
        if attempts == 0 || !(1..=64).contains(&workers) {
            return usage("--attempts must be at least 1, --workers 1 to 64");
        }
        Ok(Settings {
            workers,
            retry: Retry { first, attempts, ..retry },
            limits: self.limits(),
            max_queue: self.max_queue.unwrap_or(default.max_queue),
            min_free: self.min_free_mb.map_or(default.min_free, |mb| mb.saturating_mul(1_000_000)),
            keep: self.keep_days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
            ..default
        })
    }

    /// Loads the model and what words its reports.
    pub fn reader(&self) -> Result<Reader> {
        let common = Common { quiet: self.quiet, threads: self.threads.unwrap_or(0) };
        let choice = ModelChoice { model: self.model.clone() };
        let reader = model::reader(&choice, &common)?.for_many()?;
        model::writing(reader, self.decoder.as_deref(), &choice, self.report_grounded.unwrap_or(true))
    }

    /// Loads the model, opens the queue, catches signals.
    pub fn service(&self, settings: Settings) -> Result<Service> {
        let out = self.out.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::Usage, "--out is missing").hint("name the folder for queue, spool and results")
        })?;
        log::quiet(self.quiet);
        let stop = Stop::on_signals()?;
        let reader = self.reader()?;
        let queue = Queue::open(out)?;
        if self.retry_dead {
            let revived = queue.revive()?;
            log::info("revived", &[("dead_letters", revived.into())]);
        }
        let sha256 = reader.engine().sha256().to_string();
        log::info("started", &[("version", env!("CARGO_PKG_VERSION").into()), ("model_sha256", sha256.into())]);
        Ok(Service::new(queue, reader, settings, stop))
    }
}

/// The sections of a configuration file: one for each command that reads it.
const SECTIONS: [&str; 3] = ["watch", "listen", "serve"];

/// Reads a configuration file: what stands before any section, and the section `name`. Without a file both are empty.
pub fn config<T: DeserializeOwned + Default>(path: Option<&Path>, name: &str) -> Result<(ServiceOptions, T)> {
    let Some(path) = path else { return Ok(Default::default()) };
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if length > MAX_CONFIG {
        return Err(Error::new(ErrorKind::Usage, format!("{}: too long for a configuration", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    let wrong = |e: toml::de::Error| {
        Error::new(ErrorKind::Usage, format!("{}: {}", path.display(), e.to_string().trim_end()))
            .hint("keys are the long options, hyphens as underscores; a command's own ones stand in its [section]")
    };
    let mut table: toml::Table = toml::from_str(&text).map_err(wrong)?;
    let mut section = T::default();
    for known in SECTIONS {
        let found = table.remove(known);
        if let (true, Some(found)) = (known == name, found) {
            section = found.try_into().map_err(wrong)?;
        }
    }
    Ok((table.try_into().map_err(wrong)?, section))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Section {
        port: Option<u16>,
    }

    fn read(text: &str) -> Result<(ServiceOptions, Section)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge.toml");
        std::fs::write(&path, text).unwrap();
        config(Some(&path), "listen")
    }

    #[test]
    fn a_file_has_shared_keys_and_sections() {
        let (shared, section) =
            read("out = \"o\"\nkeep_days = 3\n[listen]\nport = 104\n[watch]\nanything = 1\n").unwrap();
        assert_eq!((shared.out.as_deref(), shared.keep_days), (Some(Path::new("o")), Some(3)));
        assert_eq!(section, Section { port: Some(104) });
        let given = ServiceOptions { keep_days: Some(9), ..Default::default() };
        let settings = given.or(shared).settings().unwrap();
        assert_eq!(settings.keep, Some(Duration::from_secs(9 * 86_400)));
        assert_eq!(settings.max_queue, Settings::default().max_queue);
    }

    #[test]
    fn mistakes_are_named() {
        for text in ["keep_day = 3", "keep_days = -1", "[listen]\nports = 1", "[listing]", "keep_days"] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(error.message().contains("edge.toml"), "{error}");
        }
        let negative = ServiceOptions { retry_seconds: Some(-1.0), ..Default::default() };
        assert_eq!(negative.settings().unwrap_err().kind(), ErrorKind::Usage);
    }
}
