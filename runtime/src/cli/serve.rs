//! `serve`: HTTP and a page.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::Tally;
use super::service::{ServiceOptions, config};
use crate::error::Result;
use crate::service::http::{Settings, Token, Worklist, serve};
use crate::service::{Queue, log};

/// Where a token may stand, so that it is no argument that others can see.
const TOKEN: &str = "RDE_TOKEN";

/// Answers over HTTP: POST a PNG, JPEG or DICOM film to /v1/infer, or look at it on the page at /.
///
/// /openapi.json documents it, /healthz and /metrics watch it. Nothing that comes in is kept. SIGTERM and SIGINT end it
/// once the running requests are answered. There is no TLS: put a proxy in front where it leaves the machine.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    own: Own,
    /// Configuration file (TOML): the options by their long names, hyphens as underscores.
    #[arg(long, value_name = "FILE.toml", env = "RDE_CONFIG")]
    config: Option<PathBuf>,
    /// Model file; without it the embedded model.
    #[arg(long, value_name = "FILE", env = "RDE_MODEL")]
    model: Option<PathBuf>,
    /// What words reports: a decoder or a retrieval file of rad-dino-quantize [default: MODEL.report.onnx beside --model
    /// MODEL.onnx, else the embedded one; where there is none, fixed sentences over the probes].
    #[arg(long, value_name = "FILE", env = "RDE_DECODER")]
    decoder: Option<PathBuf>,
    /// Leave out sentences that the calibrated probes contradict; false keeps them, marked. [default: true]
    #[arg(long, value_name = "BOOL", env = "RDE_REPORT_GROUNDED")]
    report_grounded: Option<bool>,
    /// Threads of the model; 0 = one per core. Results do not depend on it. [default: 0]
    #[arg(long, value_name = "N", env = "RDE_THREADS")]
    threads: Option<usize>,
    /// Largest file, MB; twice as much may be held at once. [default: 256]
    #[arg(long, value_name = "MB", env = "RDE_MAX_FILE_MB")]
    max_file_mb: Option<u64>,
    /// Longest side, pixels. [default: 20000]
    #[arg(long, value_name = "PIXELS", env = "RDE_MAX_SIDE")]
    max_side: Option<u32>,
    /// Largest decoded picture, MB. [default: 512]
    #[arg(long, value_name = "MB", env = "RDE_MAX_DECODED_MB")]
    max_decoded_mb: Option<u64>,
    /// Log warnings and errors alone.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    /// Address and port; any address but the loopback needs a token. [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT", env = "RDE_LISTEN")]
    listen: Option<SocketAddr>,
    /// File with the token that clients send (`Authorization: Bearer`); without it the variable RDE_TOKEN, if set.
    #[arg(long, value_name = "FILE", env = "RDE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// A further name that the Host header may hold, of a proxy in front, say; can be given several times.
    #[arg(long = "host", value_name = "NAME")]
    host: Vec<String>,
    /// Requests at once, being uploaded, waiting and read; more are told to come back. [default: 32]
    #[arg(long, value_name = "N", env = "RDE_PLACES")]
    places: Option<usize>,
    /// Show the work list of this folder, the --out of watch or listen.
    #[arg(long, value_name = "OUT", env = "RDE_QUEUE")]
    queue: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(&self) -> Result<Tally> {
        let (file, section) = config::<Own>(self.config.as_deref(), "serve")?;
        let shared = ServiceOptions {
            model: self.model.clone(),
            decoder: self.decoder.clone(),
            report_grounded: self.report_grounded,
            threads: self.threads,
            max_file_mb: self.max_file_mb,
            max_side: self.max_side,
            max_decoded_mb: self.max_decoded_mb,
            quiet: self.quiet,
            ..ServiceOptions::default()
        };
        let shared = shared.or(file);
        let own = self.own.clone().or(section);
        let mut settings = Settings::new(own.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))));
        settings.token = own.token()?;
        settings.hosts = own.host;
        settings.places = own.places.unwrap_or(settings.places);
        settings.limits = shared.limits();
        settings.check()?;
        log::quiet(self.quiet);
        let queue = own.queue.map(|out| Queue::view(&out)).transpose()?;
        let reader = shared.reader()?;
        let queue = queue.map(|queue| Box::new(queue) as Box<dyn Worklist>);
        serve(reader, settings, queue, |address| {
            log::info("listening", &[("url", format!("http://{address}/").into())]);
        })?;
        Ok(Tally::default())
    }
}

impl Own {
    fn or(self, file: Own) -> Own {
        Own {
            listen: self.listen.or(file.listen),
            token_file: self.token_file.or(file.token_file),
            host: if self.host.is_empty() { file.host } else { self.host },
            places: self.places.or(file.places),
            queue: self.queue.or(file.queue),
        }
    }

    fn token(&self) -> Result<Option<Token>> {
        if let Some(path) = &self.token_file {
            return Token::read(path).map(Some);
        }
        match std::env::var(TOKEN) {
            Ok(text) => Token::new(&text).map(Some).map_err(|e| e.at(TOKEN)),
            Err(std::env::VarError::NotPresent) => Ok(None),
            // unreadable is not absent: the service must not open up
            Err(std::env::VarError::NotUnicode(_)) => Token::new("").map(Some).map_err(|e| e.at(TOKEN)),
        }
    }
}
