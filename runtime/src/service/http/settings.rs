//! Where the service listens, whom it lets in, and what a request may cost.

use std::net::SocketAddr;
use std::time::Duration;

use super::Token;
use crate::error::{Error, ErrorKind, Result};
use crate::scan::Limits;

/// The settings of [`super::serve`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Asked for from every request to /v1 and /metrics; needed where `listen` is not the loopback.
    pub token: Option<Token>,
    /// Further names that the Host header may hold on the loopback, for a proxy in front.
    pub hosts: Vec<String>,
    /// Limits on scans; `max_file_bytes` is the largest body, and twice as much may be held at once.
    pub limits: Limits,
    /// Requests in the house: being uploaded, waiting, read. More are told to come back.
    pub places: usize,
    /// Open connections; further ones wait to be accepted.
    pub connections: usize,
    /// For the header of a request, and between two requests.
    pub header_time: Duration,
    /// For a body to arrive.
    pub body_time: Duration,
    /// For a slot to become free.
    pub wait_time: Duration,
    /// For requests to finish after the signal to stop.
    pub drain_time: Duration,
    /// One line a request on stderr.
    pub log: bool,
}

impl Settings {
    /// Loopback defaults for `listen`.
    pub fn new(listen: SocketAddr) -> Self {
        Settings {
            listen,
            token: None,
            hosts: vec![],
            limits: Limits::default(),
            places: 32,
            connections: 128,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            wait_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(30),
            log: true,
        }
    }

    /// # Errors
    /// `Usage` for an address beyond this machine without a token, and for no places.
    pub fn check(&self) -> Result<()> {
        let usage = |message: String, hint: &str| Err(Error::new(ErrorKind::Usage, message).hint(hint));
        if !self.listen.ip().is_loopback() && self.token.is_none() {
            let message = format!("{} can be reached from other machines, and there is no token", self.listen.ip());
            return usage(message, "listen on 127.0.0.1, or give a token by --token-file or RDE_TOKEN");
        }
        if self.places == 0 || self.connections == 0 {
            return usage("there must be room for one request at least".into(), "use --places ≥ 1");
        }
        Ok(())
    }
}
