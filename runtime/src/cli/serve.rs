//! `serve`: HTTP and a page.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::options::{Common, ModelChoice, ScanLimits};
use super::{Tally, model};
use crate::error::Result;
use crate::service::http::{Settings, Token, serve};

/// Where a token may stand, so that it is no argument that others can see.
const TOKEN: &str = "RDE_TOKEN";

/// HTTP on this machine: POST a PNG, JPEG or DICOM film to /v1/infer, or look at it on the page at /. Ends with SIGTERM.
#[derive(Debug, Args)]
pub struct Serve {
    /// Address and port; any address but the loopback needs a token.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// File with the token that clients send (`Authorization: Bearer`); without it the variable RDE_TOKEN, if set.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A further name that the Host header may hold, of a proxy in front, say; can be given several times.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Requests at once, being uploaded, waiting and read; more are told to come back (429).
    #[arg(long, value_name = "N", default_value_t = 32)]
    places: usize,
    #[command(flatten)]
    model: ModelChoice,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    limits: ScanLimits,
}

impl Serve {
    pub(super) fn run(&self) -> Result<Tally> {
        let mut settings = Settings::new(self.listen);
        settings.token = self.token()?;
        settings.hosts.clone_from(&self.hosts);
        settings.places = self.places;
        settings.limits = self.limits.limits();
        settings.log = !self.common.quiet;
        settings.check()?;
        let reader = model::reader(&self.model, &self.common)?;
        let quiet = self.common.quiet;
        serve(reader, settings, None, |address| {
            if !quiet {
                eprintln!("listening on http://{address}/");
            }
        })?;
        Ok(Tally::default())
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
