//! `listen`: a C-STORE and C-ECHO SCP.
//!
//! Each association has a thread, their number is bounded. Success is answered when the object is on disk under its own
//! name and in the queue; without room for it, 0xA700 (out of resources). A peer that falls silent, or is too slow, is cut
//! off.

mod association;
mod line;
mod store;

use std::io::{ErrorKind as IoKind, Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::{Service, log};
use crate::{Error, ErrorKind, Result};
use line::{Line, Lines};

/// How to listen.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ours: who calls another one is rejected.
    pub ae_title: String,
    /// Address to listen at.
    pub address: IpAddr,
    /// 0 lets the system choose; it is logged.
    pub port: u16,
    /// Who may call; empty for anybody.
    pub callers: Vec<String>,
    /// Associations at the same time.
    pub associations: usize,
    /// Longest silence between messages.
    pub idle: Duration,
    /// Longest time that one object may take to arrive.
    pub patience: Duration,
    /// Speak TLS alone.
    #[cfg(feature = "tls")]
    pub tls: Option<std::sync::Arc<rustls::ServerConfig>>,
}

/// An A-ASSOCIATE-RJ: transient, by the provider, local limit exceeded (PS3.8, 9.3.4).
const TOO_MANY: [u8; 10] = [3, 0, 0, 0, 0, 4, 0, 2, 3, 2];
/// Between two looks at the listening socket.
const TICK: Duration = Duration::from_millis(20);

/// Binds the port, so that a mistake shows before anything starts.
///
/// # Errors
/// `Usage` when the address cannot be bound.
pub fn bind(options: &Options) -> Result<TcpListener> {
    let address = (options.address, options.port);
    TcpListener::bind(address).map_err(|e| {
        Error::new(ErrorKind::Usage, format!("{}:{}: {e}", address.0, address.1))
            .hint("choose another --port or --bind; ports below 1024 need a privilege (CAP_NET_BIND_SERVICE)")
    })
}

/// Listens until told to stop; objects on their way then are still taken in.
///
/// # Errors
/// `Io` when the socket fails.
pub fn listen(service: &Service, options: &Options, listener: TcpListener) -> Result<()> {
    let failed = |e: std::io::Error| Error::new(ErrorKind::Io, format!("the listening socket: {e}"));
    listener.set_nonblocking(true).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    log::info("listening", &[("port", port.into()), ("ae_title", options.ae_title.as_str().into())]);
    let lines = Lines::default();
    thread::scope(|scope| {
        while !service.stop.is_set() {
            lines.check(false);
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == IoKind::WouldBlock => {
                    thread::sleep(TICK);
                    continue;
                }
                Err(e) if matches!(e.kind(), IoKind::Interrupted | IoKind::ConnectionAborted) => continue,
                Err(e) => {
                    // Out of file descriptors, say: that passes.
                    log::error("accept", &failed(e), &[]);
                    service.stop.sleep(Duration::from_millis(200));
                    continue;
                }
            };
            if lines.len() >= options.associations {
                log::warn("rejected", &[("why", "too many associations".into())]);
                reject(stream);
                continue;
            }
            let started = stream.set_nonblocking(false).and_then(|()| {
                let line = lines.add(&stream, options.idle)?;
                let lines = &lines;
                thread::Builder::new().spawn_scoped(scope, move || {
                    let line = Hung { lines, line };
                    association::serve(service, options, stream, &line.line);
                })
            });
            if let Err(e) = started {
                log::error("accept", &failed(e), &[]);
            }
        }
        drop(listener);
        let end = Instant::now() + options.patience.min(Duration::from_secs(30));
        while lines.len() > 0 {
            lines.check(true);
            if Instant::now() > end {
                lines.cut();
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    })
}

/// Takes the line off the list however its thread ends.
struct Hung<'a> {
    lines: &'a Lines,
    line: std::sync::Arc<Line>,
}

impl Drop for Hung<'_> {
    fn drop(&mut self) {
        self.lines.remove(&self.line);
    }
}

/// Says no, and waits a moment for the request, because closing with it unread would take the answer back.
fn reject(mut stream: TcpStream) {
    let moment = Some(Duration::from_millis(100));
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(moment);
    let _ = stream.set_write_timeout(moment);
    let _ = stream.read(&mut [0; 8192]);
    let _ = stream.write_all(&TOO_MANY);
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.read(&mut [0; 8192]);
}
