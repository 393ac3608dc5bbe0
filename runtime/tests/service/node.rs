//! Nodes around the service: one that sends, one that takes results.

use std::collections::HashMap;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dicom_ul::association::ServerAssociationOptions;
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu};
use rad_dino_edge::service::dimse::{Command, SOP_CLASSES, Scu};

/// An association with the service on this port, for what [`super::dicom`] makes.
pub fn scu(port: u16) -> Scu {
    associate(port, "EDGE").unwrap()
}

/// The same under another called AE title.
pub fn associate(port: u16, called: &str) -> Result<Scu, rad_dino_edge::service::dimse::Failure> {
    let contexts: Vec<_> =
        SOP_CLASSES.iter().map(|class| ((*class).to_string(), "1.2.840.10008.1.2.1".to_string())).collect();
    Scu::associate(&format!("127.0.0.1:{port}"), called, "SCANNER", &contexts, Duration::from_secs(30))
}

/// How often each instance arrived.
pub type Taken = Arc<Mutex<HashMap<String, usize>>>;

/// An archive that takes anything, but answers its first `refusals` objects with 0xA700. Ends with the test.
pub fn archive(refusals: usize) -> (u16, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Taken::default();
    let counting = taken.clone();
    std::thread::spawn(move || {
        let mut refusals = refusals;
        for stream in listener.incoming() {
            let options =
                ServerAssociationOptions::new().promiscuous(true).accept_called_ae_title().ae_title("ARCHIVE");
            let Ok(mut association) = stream.map_err(drop).and_then(|stream| options.establish(stream).map_err(drop))
            else {
                continue;
            };
            while let Ok(Pdu::PData { data }) = association.receive() {
                let context = data[0].presentation_context_id;
                let command = Command::decode(&data[0].data).unwrap();
                let mut object = vec![];
                // A peer that was killed costs its association alone.
                if association.receive_pdata().read_to_end(&mut object).is_err() {
                    break;
                }
                let status = if refusals > 0 { 0xa700 } else { 0 };
                refusals = refusals.saturating_sub(1);
                if status == 0 {
                    *counting.lock().unwrap().entry(command.sop_instance.clone()).or_default() += 1;
                }
                let value = PDataValue {
                    presentation_context_id: context,
                    value_type: PDataValueType::Command,
                    is_last: true,
                    data: command.response(status, "").encode(),
                };
                if association.send(&Pdu::PData { data: vec![value] }).is_err() {
                    break;
                }
            }
            let _ = association.send(&Pdu::ReleaseRP);
        }
    });
    (port, taken)
}
