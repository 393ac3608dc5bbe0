//! The asking side: C-ECHO and C-STORE to another node.

use std::error::Error as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

#[cfg(feature = "tls")]
use dicom_ul::association::client::TlsStream;
use dicom_ul::association::{Association, ClientAssociation, ClientAssociationOptions, CloseSocket, SyncAssociation};
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu, PresentationContextResultReason};

use super::{C_ECHO, C_STORE, Command, Meta, VERIFICATION, status};
#[cfg(feature = "tls")]
use crate::service::tls::Client;

const MAX_PDU: u32 = 131_072;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection, no association, or it broke.
    Unreachable(String),
    /// The node answered, and would not have it: a status, or no presentation context for it.
    Refused(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Unreachable(why) | Failure::Refused(why) => f.write_str(why),
        }
    }
}

/// An association with another node.
#[derive(Debug)]
pub struct Scu<S: Read + Write + CloseSocket = TcpStream> {
    association: ClientAssociation<S>,
    message: u16,
}

impl Scu {
    /// Associates with the node `called` at `address`, for objects of these (SOP class, transfer syntax) and for C-ECHO.
    ///
    /// # Errors
    /// `Unreachable`.
    pub fn associate(
        address: &str,
        called: &str,
        calling: &str,
        contexts: &[(String, String)],
        timeout: Duration,
    ) -> Result<Scu, Failure> {
        let options = options(called, calling, contexts, timeout);
        let association = options.establish(&resolve(address)?[..]).map_err(|e| unreachable(&e))?;
        let mut scu = Scu { association, message: 0 };
        at_once(scu.association.inner_stream());
        Ok(scu)
    }
}

#[cfg(feature = "tls")]
impl Scu<TlsStream> {
    /// As [`Scu::associate`], over TLS; the node's certificate must be for the host of `address`.
    ///
    /// # Errors
    /// `Unreachable`.
    pub fn associate_tls(
        tls: &Client,
        address: &str,
        called: &str,
        calling: &str,
        contexts: &[(String, String)],
        timeout: Duration,
    ) -> Result<Scu<TlsStream>, Failure> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
        let options = options(called, calling, contexts, timeout).tls_config(tls.0.clone()).server_name(host);
        let association = options.establish_tls(&resolve(address)?[..]).map_err(|e| unreachable(&e))?;
        let mut scu = Scu { association, message: 0 };
        at_once(&scu.association.inner_stream().sock);
        Ok(scu)
    }
}

fn options<'a>(
    called: &str,
    calling: &str,
    contexts: &[(String, String)],
    timeout: Duration,
) -> ClientAssociationOptions<'a> {
    let options = ClientAssociationOptions::new()
        .calling_ae_title(calling.to_string())
        .called_ae_title(called.to_string())
        .max_pdu_length(MAX_PDU)
        .connection_timeout(timeout)
        .read_timeout(timeout)
        .write_timeout(timeout)
        .with_abstract_syntax(VERIFICATION);
    contexts.iter().fold(options, |options, (class, syntax)| {
        options.with_presentation_context(class.clone(), vec![syntax.clone()])
    })
}

fn resolve(address: &str) -> Result<Vec<SocketAddr>, Failure> {
    address.to_socket_addrs().map(Iterator::collect).map_err(|e| Failure::Unreachable(e.to_string()))
}

/// Commands and their answers are short: they must not wait for more to send.
fn at_once(socket: &TcpStream) {
    let _ = socket.set_nodelay(true);
}

impl<S: Read + Write + CloseSocket> Scu<S> {
    /// Asks whether the node is there.
    ///
    /// # Errors
    /// Why not.
    pub fn echo(&mut self) -> Result<(), Failure> {
        let context = self.context(VERIFICATION, None)?;
        let command = Command { field: C_ECHO, sop_class: VERIFICATION.into(), ..self.command() };
        self.command_pdu(context, &command)?;
        match self.answer(&command)? {
            status::SUCCESS => Ok(()),
            status => Err(Failure::Refused(format!("C-ECHO was answered with status {status:04X}"))),
        }
    }

    /// Hands over a DICOM file, and returns the status it was taken with.
    ///
    /// # Errors
    /// Why not.
    pub fn store(&mut self, file: &[u8]) -> Result<u16, Failure> {
        let (meta, data) = Meta::split(file).map_err(|e| Failure::Refused(e.to_string()))?;
        let context = self.context(&meta.sop_class, Some(&meta.transfer_syntax))?;
        let command = Command {
            field: C_STORE,
            sop_class: meta.sop_class,
            sop_instance: meta.sop_instance,
            data: true,
            ..self.command()
        };
        self.command_pdu(context, &command)?;
        let mut sending = self.association.send_pdata(context);
        sending.write_all(data).map_err(|e| Failure::Unreachable(e.to_string()))?;
        sending.finish().map_err(|e| Failure::Unreachable(e.to_string()))?;
        let answer = self.answer(&command)?;
        if status::taken(answer) {
            return Ok(answer);
        }
        Err(Failure::Refused(format!("C-STORE was answered with status {answer:04X}")))
    }

    /// Ends the association.
    pub fn release(self) {
        // What was to be done is done; how the node takes leave does not matter.
        let _ = self.association.release();
    }

    fn command(&mut self) -> Command {
        self.message = self.message.wrapping_add(1);
        Command { message: self.message, ..Command::default() }
    }

    fn context(&self, class: &str, syntax: Option<&str>) -> Result<u8, Failure> {
        let contexts = Association::presentation_contexts(&self.association).iter();
        let mut accepted = contexts.filter(|c| c.reason == PresentationContextResultReason::Acceptance);
        let found = accepted.find(|c| {
            c.abstract_syntax == class && syntax.is_none_or(|s| c.transfer_syntax.trim_end_matches(['\0', ' ']) == s)
        });
        found.map(|c| c.id).ok_or_else(|| Failure::Refused(format!("the node takes no objects of SOP class {class}")))
    }

    fn command_pdu(&mut self, context: u8, command: &Command) -> Result<(), Failure> {
        let value = PDataValue {
            presentation_context_id: context,
            value_type: PDataValueType::Command,
            is_last: true,
            data: command.encode(),
        };
        SyncAssociation::send(&mut self.association, &Pdu::PData { data: vec![value] }).map_err(|e| unreachable(&e))
    }

    /// The status of the answer to `request`.
    fn answer(&mut self, request: &Command) -> Result<u16, Failure> {
        let mut bytes = vec![];
        loop {
            let data = match SyncAssociation::receive(&mut self.association).map_err(|e| unreachable(&e))? {
                Pdu::PData { data } => data,
                Pdu::AbortRQ { .. } => return Err(Failure::Unreachable("the node aborted the association".into())),
                _ => return Err(Failure::Unreachable("the node broke the protocol".into())),
            };
            for value in data {
                if value.value_type != PDataValueType::Command || bytes.len() > MAX_PDU as usize {
                    return Err(Failure::Unreachable("the node broke the protocol".into()));
                }
                bytes.extend(value.data);
                if value.is_last {
                    let answer = Command::decode(&bytes).map_err(|e| Failure::Unreachable(e.to_string()))?;
                    return match answer.status {
                        Some(status) if answer.is_response() && answer.message == request.message => Ok(status),
                        _ => Err(Failure::Unreachable("the node answered something else".into())),
                    };
                }
            }
        }
    }
}

/// Its words, without what a PDU held.
fn unreachable(error: &dicom_ul::association::Error) -> Failure {
    use dicom_ul::association::Error as E;
    Failure::Unreachable(match error {
        E::UnexpectedPdu { .. } | E::UnknownPdu { .. } => "the node broke the protocol".into(),
        _ => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    })
}
