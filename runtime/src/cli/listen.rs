//! `listen`: reads what a scanner sends.

use std::net::{IpAddr, Ipv4Addr};
#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::Tally;
use super::service::{ServiceOptions, config};
use crate::error::{Error, ErrorKind, Result};
use crate::service::forward::{Peer, ae_title};
#[cfg(feature = "tls")]
use crate::service::tls;
use crate::service::{self, Settings, listen};

/// Reads every film that a scanner sends by DICOM C-STORE, and leaves or sends on the results.
///
/// CR, DX and SC images are answered with success once they are on disk in OUT/spool and in a durable queue; they end as
/// OUT/<SOPInstanceUID>.json (what `infer --format json` prints), .sr.dcm, .sc.dcm and .seg.dcm. An instance that comes
/// again is answered with success and not read again. A full queue or disk is answered with 0xA700. SIGTERM and SIGINT end
/// it once the running scan is finished.
#[derive(Debug, Args)]
pub struct Listen {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    service: ServiceOptions,
}

#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    /// AE title of this node; who calls another one is rejected.
    #[arg(long, value_name = "TITLE", env = "RDE_AE_TITLE")]
    ae_title: Option<String>,
    /// TCP port; 0 lets the system choose one, which is logged.
    #[arg(long, value_name = "PORT", env = "RDE_PORT")]
    port: Option<u16>,
    /// Address to listen at. [default: 0.0.0.0, all of IPv4]
    #[arg(long, value_name = "ADDRESS", env = "RDE_BIND")]
    bind: Option<IpAddr>,
    /// AE titles that may call, comma-separated; without it any may.
    #[arg(long, value_name = "TITLE,TITLE", env = "RDE_CALLERS", value_delimiter = ',')]
    callers: Option<Vec<String>>,
    /// Send the DICOM results on to this node, for as long as it takes.
    #[arg(long, value_name = "HOST:PORT/AE", env = "RDE_FORWARD")]
    forward: Option<String>,
    /// Associations at the same time; more are rejected. [default: 16]
    #[arg(long, value_name = "N", env = "RDE_ASSOCIATIONS")]
    associations: Option<usize>,
    /// Longest silence of a peer between messages. [default: 60]
    #[arg(long, value_name = "SECONDS", env = "RDE_IDLE_SECONDS")]
    idle_seconds: Option<u32>,
    /// Longest time that one object may take to arrive. [default: 300]
    #[arg(long, value_name = "SECONDS", env = "RDE_OBJECT_SECONDS")]
    object_seconds: Option<u32>,
    /// Speak TLS alone, with this certificate and what vouches for it (PEM).
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "PEM", env = "RDE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "PEM", env = "RDE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Callers must show a certificate that one of these vouches for (PEM).
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "PEM", env = "RDE_TLS_CALLERS", requires = "tls_cert")]
    tls_callers: Option<PathBuf>,
    /// Speak TLS to the node that results are sent on to; its certificate must be for its HOST, and one of these vouches
    /// for it (PEM).
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "PEM", env = "RDE_FORWARD_TLS_TRUST")]
    forward_tls_trust: Option<PathBuf>,
    /// Show that node this certificate, with what vouches for it (PEM).
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "PEM", env = "RDE_FORWARD_TLS_CERT")]
    forward_tls_cert: Option<PathBuf>,
    /// Its private key (PEM).
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "PEM", env = "RDE_FORWARD_TLS_KEY")]
    forward_tls_key: Option<PathBuf>,
}

impl Own {
    fn or(self, file: Own) -> Own {
        Own {
            ae_title: self.ae_title.or(file.ae_title),
            port: self.port.or(file.port),
            bind: self.bind.or(file.bind),
            callers: self.callers.or(file.callers),
            forward: self.forward.or(file.forward),
            associations: self.associations.or(file.associations),
            idle_seconds: self.idle_seconds.or(file.idle_seconds),
            object_seconds: self.object_seconds.or(file.object_seconds),
            #[cfg(feature = "tls")]
            tls_cert: self.tls_cert.or(file.tls_cert),
            #[cfg(feature = "tls")]
            tls_key: self.tls_key.or(file.tls_key),
            #[cfg(feature = "tls")]
            tls_callers: self.tls_callers.or(file.tls_callers),
            #[cfg(feature = "tls")]
            forward_tls_trust: self.forward_tls_trust.or(file.forward_tls_trust),
            #[cfg(feature = "tls")]
            forward_tls_cert: self.forward_tls_cert.or(file.forward_tls_cert),
            #[cfg(feature = "tls")]
            forward_tls_key: self.forward_tls_key.or(file.forward_tls_key),
        }
    }

    fn listening(&self) -> Result<listen::Options> {
        let missing = |what: &str| {
            Error::new(ErrorKind::Usage, format!("{what} is missing"))
                .hint("rad-dino-edge listen --ae-title TITLE --port PORT --out DIR")
        };
        let title = self.ae_title.as_deref().ok_or_else(|| missing("--ae-title"))?;
        let callers = self.callers.iter().flatten().map(|title| Ok(ae_title(title)?.to_string()));
        let seconds = |given: Option<u32>, default: u32| Duration::from_secs(given.unwrap_or(default).max(1).into());
        Ok(listen::Options {
            ae_title: ae_title(title)?.to_string(),
            address: self.bind.unwrap_or(Ipv4Addr::UNSPECIFIED.into()),
            port: self.port.ok_or_else(|| missing("--port"))?,
            callers: callers.collect::<Result<_>>()?,
            associations: self.associations.unwrap_or(16).max(1),
            idle: seconds(self.idle_seconds, 60),
            patience: seconds(self.object_seconds, 300),
            #[cfg(feature = "tls")]
            tls: self.tls()?,
        })
    }

    #[cfg(feature = "tls")]
    fn tls(&self) -> Result<Option<std::sync::Arc<rustls::ServerConfig>>> {
        match (&self.tls_cert, &self.tls_key, &self.tls_callers) {
            (Some(cert), Some(key), callers) => tls::server(cert, key, callers.as_deref()).map(Some),
            (None, None, None) => Ok(None),
            _ => Err(Error::new(ErrorKind::Usage, "tls_cert and tls_key belong together, tls_callers to both")),
        }
    }

    /// The node that results are sent on to.
    fn peer(&self, calling: &str) -> Result<Option<Peer>> {
        #[cfg(feature = "tls")]
        let tls = self.forward_tls()?;
        let Some(peer) = &self.forward else {
            #[cfg(feature = "tls")]
            if tls.is_some() {
                return Err(Error::new(ErrorKind::Usage, "forward_tls_trust belongs to forward"));
            }
            return Ok(None);
        };
        let peer = Peer::parse(peer, calling)?;
        #[cfg(feature = "tls")]
        let peer = Peer { tls, ..peer };
        Ok(Some(peer))
    }

    #[cfg(feature = "tls")]
    fn forward_tls(&self) -> Result<Option<tls::Client>> {
        match (&self.forward_tls_trust, &self.forward_tls_cert, &self.forward_tls_key) {
            (Some(trust), Some(cert), Some(key)) => tls::client(trust, Some((cert, key))).map(Some),
            (Some(trust), None, None) => tls::client(trust, None).map(Some),
            (None, None, None) => Ok(None),
            _ => Err(Error::new(
                ErrorKind::Usage,
                "forward_tls_cert and forward_tls_key belong together, and to forward_tls_trust",
            )),
        }
    }
}

impl Listen {
    pub(super) fn run(&self) -> Result<Tally> {
        let (shared, section) = config::<Own>(self.service.config.as_deref(), "listen")?;
        let options = self.service.clone().or(shared);
        let own = self.own.clone().or(section);
        let listening = own.listening()?;
        let settings = Settings { forward: own.peer(&listening.ae_title)?, ..options.settings()? };
        let listener = listen::bind(&listening)?;
        let service = options.service(settings)?;
        service::run(&service, |service| listen::listen(service, &listening, listener))?;
        Ok(Tally::default())
    }
}
