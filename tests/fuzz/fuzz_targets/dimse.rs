//! `listen`: PDUs and commands in any order, whole or damaged. Whatever is said, what comes back are PDUs, and the next
//! peer is listened to.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use arbitrary::Arbitrary;
use dicom_ul::pdu::{
    AbortRQSource, AssociationRQ, PDataValue, PDataValueType, Pdu, PresentationContextProposed, UserVariableItem,
    read_pdu, write_pdu,
};
use libfuzzer_sys::fuzz_target;
use rad_dino_edge::service::dimse::{C_ECHO, C_STORE, Command, SOP_CLASSES, TRANSFER_SYNTAXES, VERIFICATION};
use rad_dino_edge::service::listen::{Options, bind, listen};
use rad_dino_edge::service::{Queue, Service, Settings, Stop, log};
use rad_dino_fuzz::LIMITS;
use rad_dino_fuzz::service::{folder, reader, talk};

#[derive(Arbitrary, Debug)]
struct Talk {
    /// None: a request that will be accepted.
    request: Option<Request>,
    parts: Vec<Part>,
    /// A byte is changed.
    damage: Option<(u16, u8)>,
    cut: Option<u16>,
}

#[derive(Arbitrary, Debug)]
struct Request {
    called: String,
    version: u16,
    contexts: Vec<(u8, u8, u8)>,
    length: u32,
    user: Vec<(u8, Vec<u8>)>,
}

#[derive(Arbitrary, Debug)]
enum Part {
    /// A C-ECHO or C-STORE with these fields changed.
    Asked { context: u8, store: bool, class: u8, instance: Instance, field: Option<u16>, data: Option<bool> },
    Values(Vec<(u8, bool, bool, Vec<u8>)>),
    Data { context: u8, last: bool, bytes: Vec<u8> },
    Release,
    Abort,
    Raw(Vec<u8>),
    Pdu(u8, Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Instance {
    Number(u16),
    Text(String),
}

/// One running service.
struct House {
    address: SocketAddr,
    service: Arc<Service>,
    thread: JoinHandle<()>,
    folder: PathBuf,
    talks: usize,
}

/// After so many talks its queue is taken away.
const TALKS: usize = 400;

impl House {
    fn open() -> House {
        log::quiet(true);
        let folder = folder();
        let settings = Settings { limits: LIMITS, min_free: 0, ..Settings::default() };
        let queue = Queue::open(&folder).expect("a queue");
        let service = Arc::new(Service::new(queue, reader(), settings, Stop::default()));
        let options = Options {
            ae_title: "EDGE".into(),
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            callers: vec![],
            associations: 4,
            idle: Duration::from_secs(5),
            patience: Duration::from_secs(5),
        };
        let listener = bind(&options).expect("a port");
        let address = listener.local_addr().expect("an address");
        let listening = service.clone();
        let thread = std::thread::spawn(move || listen(&listening, &options, listener).expect("it listens"));
        House { address, service, thread, folder, talks: 0 }
    }

    fn close(self) {
        self.service.stop.set();
        self.thread.join().expect("no association panicked");
        let _ = std::fs::remove_dir_all(self.folder);
    }
}

fn value(context: u8, command: bool, last: bool, data: Vec<u8>) -> PDataValue {
    let value_type = if command { PDataValueType::Command } else { PDataValueType::Data };
    PDataValue { presentation_context_id: context, value_type, is_last: last, data }
}

fn association(request: &Option<Request>) -> Pdu {
    let context = |id: u8, class: u8, syntax: u8| PresentationContextProposed {
        id,
        abstract_syntax: match class {
            0 => VERIFICATION.into(),
            class => SOP_CLASSES[usize::from(class) % SOP_CLASSES.len()].into(),
        },
        transfer_syntaxes: vec![TRANSFER_SYNTAXES[usize::from(syntax) % TRANSFER_SYNTAXES.len()].into()],
    };
    let mut rq = AssociationRQ {
        protocol_version: 1,
        calling_ae_title: "FUZZER".into(),
        called_ae_title: "EDGE".into(),
        application_context_name: "1.2.840.10008.3.1.1.1".into(),
        presentation_contexts: vec![context(1, 0, 0), context(3, 1, 0), context(5, 2, 1)],
        user_variables: vec![UserVariableItem::MaxLength(16_384)],
    };
    if let Some(request) = request {
        rq.protocol_version = request.version;
        rq.called_ae_title = request.called.chars().filter(char::is_ascii).take(16).collect();
        rq.presentation_contexts = request.contexts.iter().take(64).map(|(i, c, s)| context(*i, *c, *s)).collect();
        let user = request.user.iter().map(|(kind, bytes)| UserVariableItem::Unknown(*kind, bytes.clone()));
        rq.user_variables = user.chain([UserVariableItem::MaxLength(request.length)]).collect();
    }
    Pdu::AssociationRQ(rq)
}

/// The PDUs of a part, or bytes as they are.
fn said(part: &Part, message: u16) -> Result<Pdu, Vec<u8>> {
    Ok(match part {
        Part::Asked { context, store, class, instance, field, data } => {
            let command = Command {
                field: field.unwrap_or(if *store { C_STORE } else { C_ECHO }),
                message,
                sop_class: match class {
                    0 => VERIFICATION.into(),
                    class => SOP_CLASSES[usize::from(*class) % SOP_CLASSES.len()].into(),
                },
                sop_instance: match instance {
                    Instance::Number(number) => format!("1.2.{number}"),
                    Instance::Text(text) => text.clone(),
                },
                data: data.unwrap_or(*store),
                ..Command::default()
            };
            Pdu::PData { data: vec![value(*context, true, true, command.encode())] }
        }
        Part::Values(values) => {
            let values = values.iter().map(|(c, command, last, data)| value(*c, *command, *last, data.clone()));
            Pdu::PData { data: values.collect() }
        }
        Part::Data { context, last, bytes } => Pdu::PData { data: vec![value(*context, false, *last, bytes.clone())] },
        Part::Release => Pdu::ReleaseRQ,
        Part::Abort => Pdu::AbortRQ { source: AbortRQSource::ServiceUser },
        Part::Raw(bytes) => return Err(bytes.clone()),
        Part::Pdu(kind, bytes) => {
            let length = (bytes.len() as u32).to_be_bytes();
            return Err([&[*kind, 0], &length[..], bytes].concat());
        }
    })
}

fuzz_target!(|talked: Talk| {
    static HOUSE: Mutex<Option<House>> = Mutex::new(None);
    let mut bytes = vec![];
    write_pdu(&mut bytes, &association(&talked.request)).expect("written");
    for (message, part) in talked.parts.iter().enumerate() {
        match said(part, message as u16) {
            Ok(pdu) => write_pdu(&mut bytes, &pdu).expect("written"),
            Err(raw) => bytes.extend(raw),
        }
    }
    if let Some((at, by)) = talked.damage {
        let at = usize::from(at) % bytes.len();
        bytes[at] ^= by;
    }
    if let Some(cut) = talked.cut {
        bytes.truncate(bytes.len().saturating_sub(usize::from(cut)));
    }
    let mut house = HOUSE.lock().expect("one at a time");
    if house.as_ref().is_some_and(|house| house.talks >= TALKS)
        && let Some(house) = house.take()
    {
        house.close();
    }
    let house = house.get_or_insert_with(House::open);
    house.talks += 1;
    let heard = talk(house.address, &bytes, true);
    let mut heard = &heard[..];
    while !heard.is_empty() {
        match read_pdu(&mut heard, 131_072, false) {
            Ok(Some(_)) => {}
            // cut off, where the peer was
            Ok(None) => break,
            Err(error) => panic!("no PDU: {error}"),
        }
    }
});
