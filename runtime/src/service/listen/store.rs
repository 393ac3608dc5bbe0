//! One C-STORE: the data set goes to the spool as it arrives.

use crate::service::dimse::{Command, Meta, status};
use crate::service::names::Origin;
use crate::service::queue::Accepted;
use crate::service::spool::Incoming;
use crate::service::{Service, log};
use crate::{Error, Result};

/// A C-STORE whose data set is on its way.
pub(super) struct Storing {
    command: Command,
    context: u8,
    sink: Sink,
    /// Largest file.
    limit: u64,
    bytes: u64,
}

enum Sink {
    Keep(Box<Incoming>, Origin),
    /// Read on to its end, then refused.
    Drop(u16, String),
}

impl Storing {
    pub fn begin(
        service: &Service,
        command: Command,
        context: u8,
        class: &str,
        transfer_syntax: String,
        peer: &str,
    ) -> Storing {
        let limit = service.settings.limits.max_file_bytes;
        let sink = sink(service, &command, class, transfer_syntax, peer);
        Storing { command, context, sink, limit, bytes: 0 }
    }

    /// The next part; false when the association must end.
    pub fn add(&mut self, context: u8, part: &[u8]) -> bool {
        self.bytes = self.bytes.saturating_add(part.len() as u64);
        if let Sink::Keep(incoming, _) = &mut self.sink {
            let added = if self.bytes > self.limit {
                Err((status::CANNOT_UNDERSTAND, format!("the limit is {} bytes", self.limit)))
            } else {
                incoming.write(part).map_err(|e| no_room(&e))
            };
            if let Err((status, comment)) = added {
                self.sink = Sink::Drop(status, comment);
            }
        }
        context == self.context && self.bytes <= self.limit.saturating_mul(2)
    }

    /// All has arrived: the answer.
    pub fn end(self, service: &Service, peer: &str) -> Command {
        let Storing { command, sink, bytes, .. } = self;
        let (status, comment) = match sink {
            Sink::Drop(status, comment) => (status, comment),
            Sink::Keep(incoming, origin) => match keep(service, *incoming, &origin, peer) {
                Ok(()) => return command.response(status::SUCCESS, ""),
                Err(error) => no_room(&error),
            },
        };
        let code = format!("{status:04X}");
        let fields =
            [("peer", peer.into()), ("status", code.into()), ("why", comment.as_str().into()), ("bytes", bytes.into())];
        log::warn("refused", &fields);
        command.response(status, &comment)
    }
}

/// Where the data set goes.
fn sink(service: &Service, command: &Command, class: &str, transfer_syntax: String, peer: &str) -> Sink {
    if command.sop_class != class {
        return Sink::Drop(status::CLASS_NOT_SUPPORTED, "not the SOP class of the context".into());
    }
    let Ok(origin) = Origin::instance(&command.sop_instance) else {
        return Sink::Drop(status::INVALID_INSTANCE, "the SOP Instance UID is no UID".into());
    };
    let meta = Meta {
        sop_class: command.sop_class.clone(),
        sop_instance: origin.name.clone(),
        transfer_syntax,
        source: peer.to_string(),
    };
    let begun = || -> Result<std::result::Result<Incoming, &'static str>> {
        if let Some(why) = service.full()? {
            return Ok(Err(why));
        }
        let mut incoming = service.queue.incoming()?;
        incoming.write(&meta.head())?;
        Ok(Ok(incoming))
    };
    match begun() {
        Ok(Ok(incoming)) => Sink::Keep(Box::new(incoming), origin),
        Ok(Err(why)) => Sink::Drop(status::OUT_OF_RESOURCES, why.into()),
        Err(error) => {
            let (status, comment) = no_room(&error);
            Sink::Drop(status, comment)
        }
    }
}

fn keep(service: &Service, incoming: Incoming, origin: &Origin, peer: &str) -> Result<()> {
    let sealed = incoming.seal()?;
    let (sha256, bytes) = (sealed.sha256.clone(), sealed.bytes);
    let (event, id) = match service.queue.accept(sealed, origin, "")? {
        Accepted::New(id) => ("stored", id),
        Accepted::Known(id, _) => ("known", id),
        // The same UID stands for the same object, so the first one counts.
        Accepted::Other(id, _) => ("same_uid_other_bytes", id),
    };
    let fields =
        [("object", id.into()), ("sha256", sha256.get(..12).into()), ("bytes", bytes.into()), ("peer", peer.into())];
    if event == "same_uid_other_bytes" {
        log::warn(event, &fields)
    } else {
        log::info(event, &fields)
    }
    Ok(())
}

/// A failure of ours: the sender may try again later.
fn no_room(error: &Error) -> (u16, String) {
    log::error("spool", error, &[]);
    (status::OUT_OF_RESOURCES, "it could not be written".into())
}
