//! Results on to the archive, by C-STORE.

use std::fs;
use std::io::{Read, Write};
use std::time::Duration;

use dicom_ul::association::CloseSocket;

use super::dimse::{Failure, Meta, Scu};
use super::queue::Parcel;
#[cfg(feature = "tls")]
use super::tls;
use super::{Retry, Service, log};
use crate::{Error, ErrorKind, Result};

/// Results an association.
const BATCH: usize = 32;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Refusals of one result before it is given up. A node that cannot be reached is tried for ever.
const REFUSALS: u32 = 10;

/// Who gets the results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// HOST:PORT
    pub address: String,
    /// Its AE title.
    pub called: String,
    /// Ours.
    pub calling: String,
    /// Speak TLS alone.
    #[cfg(feature = "tls")]
    pub tls: Option<tls::Client>,
}

impl Peer {
    /// From HOST:PORT/AE.
    ///
    /// # Errors
    /// `Usage`.
    pub fn parse(text: &str, calling: &str) -> Result<Peer> {
        let parts = text.rsplit_once('/').and_then(|(address, called)| {
            let (host, port) = address.rsplit_once(':')?;
            let right = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
            right.then_some((address, called))
        });
        let (address, called) = parts.ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("`{text}` is not HOST:PORT/AE"))
                .hint("such as --forward pacs:104/ARCHIVE")
        })?;
        let called = ae_title(called)?.to_string();
        Ok(Peer {
            address: address.to_string(),
            called,
            calling: calling.to_string(),
            #[cfg(feature = "tls")]
            tls: None,
        })
    }
}

/// An application entity title (PS3.5, 6.2): 1 to 16 characters, no backslash, no control characters.
///
/// # Errors
/// `Usage`.
pub fn ae_title(text: &str) -> Result<&str> {
    let title = text.trim();
    if (1..=16).contains(&title.len()) && title.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'\\') {
        return Ok(title);
    }
    Err(Error::new(ErrorKind::Usage, format!("`{text}` is no AE title"))
        .hint("1 to 16 characters of ASCII without backslash"))
}

/// Sends until told to stop.
pub(super) fn run(service: &Service, peer: &Peer) {
    while !service.stop.is_set() {
        match service.queue.take_parcels(BATCH) {
            Ok(parcels) if parcels.is_empty() => service.stop.sleep(Duration::from_millis(200)),
            Ok(parcels) => send(service, peer, &parcels),
            Err(error) => {
                log::error("queue", &error, &[]);
                service.stop.sleep(Duration::from_secs(1));
            }
        }
    }
}

fn send(service: &Service, peer: &Peer, parcels: &[Parcel]) {
    let mut files = vec![];
    let mut contexts: Vec<(String, String)> = vec![];
    for parcel in parcels {
        let read = fs::read(&parcel.path).map_err(|e| Error::io(&parcel.path, e));
        match read.and_then(|file| Meta::split(&file).map(|(meta, _)| meta).map(|meta| (file, meta))) {
            Ok((file, meta)) => {
                let context = (meta.sop_class, meta.transfer_syntax);
                if !contexts.contains(&context) {
                    contexts.push(context);
                }
                files.push((parcel, file));
            }
            Err(error) => ended(service, parcel, Err(Failure::Refused(error.message().to_string()))),
        }
    }
    let Peer { address, called, calling, .. } = peer;
    #[cfg(feature = "tls")]
    if let Some(tls) = &peer.tls {
        return store(service, Scu::associate_tls(tls, address, called, calling, &contexts, TIMEOUT), &files);
    }
    store(service, Scu::associate(address, called, calling, &contexts, TIMEOUT), &files);
}

fn store<S: Read + Write + CloseSocket>(
    service: &Service,
    scu: std::result::Result<Scu<S>, Failure>,
    files: &[(&Parcel, Vec<u8>)],
) {
    let mut scu = match scu {
        Ok(scu) => scu,
        Err(failure) => return files.iter().for_each(|(parcel, _)| ended(service, parcel, Err(failure.clone()))),
    };
    let mut broken = None;
    for (parcel, file) in files {
        let sent = match &broken {
            Some(failure) => Err(Failure::clone(failure)),
            None => scu.store(file).map(|_| ()),
        };
        if let Err(failure @ Failure::Unreachable(_)) = &sent {
            broken = Some(failure.clone());
        }
        ended(service, parcel, sent);
    }
    if broken.is_none() {
        scu.release();
    }
}

fn ended(service: &Service, parcel: &Parcel, sent: std::result::Result<(), Failure>) {
    let fields = [("object", parcel.object.into()), ("attempts", parcel.attempts.into())];
    let change = match sent {
        Ok(()) => {
            log::info("forwarded", &fields);
            service.queue.delivered(parcel)
        }
        Err(failure) => {
            let refused = matches!(failure, Failure::Refused(_));
            let retry = Retry { longest: Duration::from_secs(300), ..service.settings.retry };
            let pause = (!refused || parcel.refusals + 1 < REFUSALS).then(|| retry.after(parcel.attempts));
            let event = if pause.is_some() { "not_forwarded" } else { "undeliverable" };
            log::error(event, &Error::new(ErrorKind::Io, failure.to_string()), &fields);
            service.queue.undelivered(parcel, pause, refused, &failure.to_string())
        }
    };
    if let Err(error) = change {
        // It stays running, and is sent again after the next start.
        log::error("queue", &error, &fields);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers() {
        let peer = Peer::parse("[::1]:11112/PACS", "EDGE").unwrap();
        assert_eq!((peer.address.as_str(), peer.called.as_str()), ("[::1]:11112", "PACS"));
        for bad in [
            "",
            "pacs",
            "pacs:104",
            "pacs/AE",
            ":104/AE",
            "pacs:0/AE",
            "pacs:x/AE",
            "pacs:104/",
            "p:1/ABCDEFGHIJKLMNOPQ",
        ] {
            assert_eq!(Peer::parse(bad, "EDGE").unwrap_err().kind(), ErrorKind::Usage, "{bad}");
        }
    }
}
