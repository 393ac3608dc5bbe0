//! Orthanc (Debian package `orthanc`) as scanner and archive: it sends a film by C-STORE, and gets the results into the
//! film's study.
#![cfg(all(feature = "service", feature = "dicom"))]

mod service;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use rad_dino_edge::service::Queue;
use serde_json::{Value, json};
use service::{Edge, ended, nothing_lost_or_doubled, phantom};

struct Orthanc {
    child: Child,
    port: u16,
}

impl Drop for Orthanc {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Orthanc {
    /// The answer's body; None when it does not succeed.
    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).ok()?;
        let mut reply = vec![];
        stream.read_to_end(&mut reply).ok()?;
        let reply = String::from_utf8_lossy(&reply);
        let (head, body) = reply.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_film_comes_from_orthanc_and_its_results_go_back() {
    if !Command::new("Orthanc").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return eprintln!("skipped: Orthanc (Debian package orthanc) is not installed");
    }
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name);
    let (dicom, http) = (free_port(), free_port());
    let forward = format!("127.0.0.1:{dicom}/ORTHANC");
    let more = ["--min-free-mb", "1", "--retry-seconds", "0.2", "--callers", "ORTHANC", "--forward", &forward];
    let mut edge = Edge::listen(&path("log"), &path("out"), &more);
    let config = json!({
        "StorageDirectory": path("storage"), "IndexDirectory": path("storage"), "Plugins": [],
        "DicomAet": "ORTHANC", "DicomPort": dicom, "DicomCheckCalledAet": true,
        "HttpPort": http, "RemoteAccessAllowed": false, "AuthenticationEnabled": false,
        "DicomModalities": { "edge": ["EDGE", "127.0.0.1", edge.port()] },
    });
    std::fs::write(path("orthanc.json"), config.to_string()).unwrap();
    let mut command = Command::new("Orthanc");
    command.arg(path("orthanc.json")).stdout(Stdio::null()).stderr(Stdio::null());
    let orthanc = Orthanc { child: command.spawn().unwrap(), port: http };
    edge.until("Orthanc's start", |_| orthanc.ask("GET", "/system", b"").is_some());

    let film = orthanc.ask("POST", "/instances", &phantom("1.2.276.0.9.4.1", 256)).unwrap();
    assert!(orthanc.ask("POST", "/modalities/edge/echo", b"{}").is_some(), "C-ECHO:\n{}", edge.log());
    let id = film["ID"].as_str().unwrap();
    assert!(orthanc.ask("POST", "/modalities/edge/store", id.as_bytes()).is_some(), "C-STORE:\n{}", edge.log());
    edge.until("the film", |_| ended(&path("out")) == 1);
    edge.until("its results in Orthanc", |_| {
        Queue::view(&path("out")).unwrap().counts().unwrap().unsent == 0
            && orthanc.ask("GET", "/statistics", b"").is_some_and(|statistics| statistics["CountInstances"] == 4)
    });
    assert_eq!(orthanc.ask("GET", "/studies", b"").unwrap().as_array().unwrap().len(), 1, "one study");
    let series = orthanc.ask("GET", "/series?expand", b"").unwrap();
    let modality = |series: &Value| series["MainDicomTags"]["Modality"].as_str().unwrap().to_string();
    let mut modalities: Vec<_> = series.as_array().unwrap().iter().map(modality).collect();
    modalities.sort();
    assert_eq!(modalities, ["DX", "OT", "SEG", "SR"]);
    nothing_lost_or_doubled(&path("out"), &["1.2.276.0.9.4.1".into()]);
    assert!(edge.stop().success());
}
