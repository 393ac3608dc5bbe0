//! One association from its request to its release.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use dicom_ul::association::server::AccessControl;
use dicom_ul::association::{
    Association, CloseSocket, Error as UpperLayer, ServerAssociation, ServerAssociationOptions,
};
use dicom_ul::pdu::{
    AssociationRJServiceUserReason, PDataValue, PDataValueType, Pdu, PresentationContextResultReason, UserIdentity,
};

use super::Options;
use super::line::Line;
use super::store::Storing;
use crate::service::dimse::{C_ECHO, C_STORE, Command, SOP_CLASSES, TRANSFER_SYNTAXES, VERIFICATION, status};
use crate::service::{Service, log};

/// Largest PDU taken.
const MAX_PDU: u32 = 131_072;
/// Longest command; real ones have some 150 bytes.
const MAX_COMMAND: usize = 16_384;
const WRITE_TIME: Duration = Duration::from_secs(30);

/// A connection, plain or TLS.
trait Stream: Read + Write + CloseSocket {}

impl<S: Read + Write + CloseSocket> Stream for S {}

/// Who may call.
struct Door<'a>(&'a Options);

impl AccessControl for Door<'_> {
    fn check_access(
        &self,
        _: &str,
        calling: &str,
        called: &str,
        _: Option<&UserIdentity>,
    ) -> Result<(), AssociationRJServiceUserReason> {
        if called != self.0.ae_title {
            return Err(AssociationRJServiceUserReason::CalledAETitleNotRecognized);
        }
        if !self.0.callers.is_empty() && !self.0.callers.iter().any(|caller| caller == calling) {
            return Err(AssociationRJServiceUserReason::CallingAETitleNotRecognized);
        }
        Ok(())
    }
}

/// How an association ended.
enum End {
    Released,
    Aborted,
    /// We end it: it broke the protocol, or we stop.
    Abort(&'static str),
    Broken(UpperLayer),
}

impl From<UpperLayer> for End {
    fn from(error: UpperLayer) -> Self {
        End::Broken(error)
    }
}

/// Serves the peer at the other end of `stream`.
pub(super) fn serve(service: &Service, options: &Options, stream: TcpStream, line: &Line) {
    // Commands and their answers are short: they must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let mut offer = ServerAssociationOptions::new()
        .ae_access_control(Door(options))
        .ae_title(options.ae_title.as_str())
        .max_pdu_length(MAX_PDU)
        .write_timeout(WRITE_TIME)
        .with_abstract_syntax(VERIFICATION);
    for class in SOP_CLASSES {
        offer = offer.with_abstract_syntax(class);
    }
    for syntax in TRANSFER_SYNTAXES {
        offer = offer.with_transfer_syntax(syntax);
    }
    #[cfg(feature = "tls")]
    if let Some(tls) = &options.tls {
        return match offer.tls_config(tls.clone()).establish_tls(stream) {
            Ok(association) => converse(service, options, association, line),
            Err(error) => log::warn("rejected", &[("why", why(&error).into())]),
        };
    }
    match offer.establish(stream) {
        Ok(association) => converse(service, options, association, line),
        Err(error) => log::warn("rejected", &[("why", why(&error).into())]),
    }
}

fn converse<S: Stream>(service: &Service, options: &Options, mut association: ServerAssociation<S>, line: &Line) {
    let peer = association.peer_ae_title().to_string();
    log::info("associated", &[("peer", peer.as_str().into())]);
    let mut talk = Talk { service, options, line, peer: &peer, command: vec![], storing: None };
    let end = loop {
        if let Err(end) = talk.turn(&mut association) {
            break end;
        }
    };
    let how = match end {
        End::Released => "released".into(),
        End::Aborted => "aborted by the peer".into(),
        End::Abort(why) => {
            let _ = association.abort();
            why.to_string()
        }
        End::Broken(_) if service.stop.is_set() => {
            let _ = association.abort();
            "the service stops".into()
        }
        End::Broken(_) if line.is_cut() => "the peer was silent or too slow".into(),
        End::Broken(error) => why(&error),
    };
    log::info("ended", &[("peer", peer.as_str().into()), ("how", how.into())]);
}

/// What has arrived of the message on its way.
struct Talk<'a> {
    service: &'a Service,
    options: &'a Options,
    line: &'a Line,
    peer: &'a str,
    command: Vec<u8>,
    storing: Option<Storing>,
}

impl Talk<'_> {
    /// One PDU.
    fn turn<S: Stream>(&mut self, association: &mut ServerAssociation<S>) -> Result<(), End> {
        if self.storing.is_none() && self.command.is_empty() {
            self.line.expect(false, self.options.idle);
            if self.service.stop.is_set() {
                return Err(End::Abort("the service stops"));
            }
        }
        match association.receive()? {
            Pdu::PData { data } => {
                if self.storing.is_none() && self.command.is_empty() {
                    self.line.expect(true, self.options.patience);
                }
                for value in data {
                    self.value(association, value)?;
                }
                Ok(())
            }
            Pdu::ReleaseRQ => {
                association.send(&Pdu::ReleaseRP)?;
                Err(End::Released)
            }
            Pdu::AbortRQ { .. } => Err(End::Aborted),
            _ => Err(End::Abort("an unexpected PDU")),
        }
    }

    fn value<S: Stream>(&mut self, association: &mut ServerAssociation<S>, value: PDataValue) -> Result<(), End> {
        match (value.value_type, &mut self.storing) {
            (PDataValueType::Command, None) => {
                self.command.extend(&value.data);
                if self.command.len() > MAX_COMMAND {
                    return Err(End::Abort("a command that does not end"));
                }
                if value.is_last { self.commanded(association, value.presentation_context_id) } else { Ok(()) }
            }
            (PDataValueType::Data, Some(storing)) => {
                if !storing.add(value.presentation_context_id, &value.data) {
                    return Err(End::Abort("an object that is far too large, or of another context"));
                }
                if value.is_last
                    && let Some(storing) = self.storing.take()
                {
                    let context = value.presentation_context_id;
                    let response = storing.end(self.service, self.peer);
                    respond(association, context, &response)?;
                }
                Ok(())
            }
            _ => Err(End::Abort("command and data out of order")),
        }
    }

    fn commanded<S: Stream>(&mut self, association: &mut ServerAssociation<S>, context: u8) -> Result<(), End> {
        let command = std::mem::take(&mut self.command);
        let Ok(command) = Command::decode(&command) else { return Err(End::Abort("a broken command")) };
        let contexts = Association::presentation_contexts(association);
        let accepted = contexts
            .iter()
            .find(|c| c.id == context && c.reason == PresentationContextResultReason::Acceptance)
            .map(|c| (c.abstract_syntax.clone(), c.transfer_syntax.trim_end_matches(['\0', ' ']).to_string()));
        let Some((class, syntax)) = accepted else {
            return Err(End::Abort("a presentation context that is not accepted"));
        };
        match command.field {
            C_ECHO => respond(association, context, &command.response(status::SUCCESS, "")),
            C_STORE if command.data => {
                self.storing = Some(Storing::begin(self.service, command, context, &class, syntax, self.peer));
                Ok(())
            }
            _ if command.is_response() => Err(End::Abort("an answer to no question")),
            _ if command.data => Err(End::Abort("a service that is not offered")),
            _ => {
                let response = command.response(status::UNRECOGNIZED_OPERATION, "C-STORE and C-ECHO are served");
                respond(association, context, &response)
            }
        }
    }
}

fn respond<S: Stream>(association: &mut ServerAssociation<S>, context: u8, response: &Command) -> Result<(), End> {
    let value = PDataValue {
        presentation_context_id: context,
        value_type: PDataValueType::Command,
        is_last: true,
        data: response.encode(),
    };
    Ok(association.send(&Pdu::PData { data: vec![value] })?)
}

/// In words, without what a PDU held.
fn why(error: &UpperLayer) -> String {
    match error {
        UpperLayer::UnexpectedPdu { .. } | UpperLayer::UnknownPdu { .. } => "an unexpected PDU".into(),
        _ => error.to_string(),
    }
}
