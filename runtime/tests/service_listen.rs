//! `listen` end to end: the binary, our own SCU, made-up DICOM objects; and dcmtk's tools where they are installed.
#![cfg(all(feature = "service", feature = "dicom"))]

mod service;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rad_dino_edge::service::dimse::{Failure, Meta, status};
use rad_dino_edge::service::queue::State;
use service::node::{archive, associate, scu};
use service::{Edge, PATIENT, audit, command, dicom, ended, entries, json, names, nothing_lost_or_doubled, phantom};

struct Place {
    _folder: tempfile::TempDir,
    out: PathBuf,
    log: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let (out, log) = (folder.path().join("out"), folder.path().join("log"));
    Place { _folder: folder, out, log }
}

fn listen(place: &Place, more: &[&str]) -> Edge {
    let mut arguments = vec![];
    if !more.contains(&"--min-free-mb") {
        arguments.extend(["--min-free-mb", "1"]);
    }
    arguments.extend(more);
    Edge::listen(&place.log, &place.out, &arguments)
}

/// From the association to JSON, SR, SC and SEG; an instance that comes again is not read again; nothing about the
/// patient gets where it does not belong.
#[test]
fn what_is_sent_is_kept_and_read_once() {
    let place = place();
    let mut edge = listen(&place, &[]);
    let port = edge.port();
    let mut peer = scu(port);
    peer.echo().unwrap();
    let uids: Vec<String> = (1..=3).map(|i| format!("1.2.276.0.9.{i}")).collect();
    for (seed, uid) in uids.iter().enumerate() {
        assert_eq!(peer.store(&dicom(uid, seed as u32, 64)).unwrap(), status::SUCCESS);
        assert!(place.out.join(format!("spool/{uid}.dcm")).exists(), "success was answered before it was kept");
    }
    edge.until("three films", |_| ended(&place.out) == 3);
    peer.store(&dicom(&uids[0], 0, 64)).unwrap();
    peer.store(&dicom(&uids[0], 99, 64)).unwrap();
    peer.release();
    edge.event("ended");
    nothing_lost_or_doubled(&place.out, &uids);

    let answer = json(&place.out.join(format!("{}.json", uids[0])));
    assert_eq!((&answer["input"]["format"], &answer["input"]["width"]), (&"dicom".into(), &64.into()));
    assert_eq!(answer["input"]["path"], format!("spool/{}.dcm", uids[0]));
    let (sent, kept) = (dicom(&uids[0], 0, 64), fs::read(place.out.join(format!("spool/{}.dcm", uids[0]))).unwrap());
    let ((sent_meta, sent), (kept_meta, kept)) = (Meta::split(&sent).unwrap(), Meta::split(&kept).unwrap());
    assert!(sent == kept, "the data set is kept as it was sent");
    assert_eq!(kept_meta, Meta { source: "SCANNER".into(), ..sent_meta });
    for suffix in ["sr", "sc", "seg"] {
        let object = fs::read(place.out.join(format!("{}.{suffix}.dcm", uids[0]))).unwrap();
        Meta::split(&object).unwrap();
    }
    let line = &audit(&place.out)[0];
    assert_eq!(line["dicom_sha256"].as_object().unwrap().len(), 3, "{line}");

    assert!(edge.stop().success());
    for name in ["queue.sqlite", "audit.jsonl"] {
        let bytes = fs::read(place.out.join(name)).unwrap();
        assert!(!bytes.windows(PATIENT.len()).any(|part| part == PATIENT.as_bytes()), "{name}");
    }
    assert!(!edge.log().contains("DOE") && !edge.log().contains("4711"), "{}", edge.log());
}

#[test]
fn who_calls_another_title_or_may_not_call_is_rejected() {
    let place = place();
    let mut edge = listen(&place, &["--callers", "OTHER,SCANNER"]);
    let port = edge.port();
    scu(port).echo().unwrap();
    assert!(matches!(associate(port, "ELSE"), Err(Failure::Unreachable(why)) if why.contains("called AE title")));
    drop(edge);
    let mut edge = listen(&place, &["--callers", "OTHER"]);
    let port = edge.port();
    assert!(matches!(associate(port, "EDGE"), Err(Failure::Unreachable(why)) if why.contains("calling AE title")));
    edge.event("rejected");
}

fn refusal(outcome: Result<u16, Failure>) -> String {
    match outcome {
        Err(Failure::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// Each with the right status, and the association goes on.
#[test]
fn what_cannot_be_taken_is_answered_with_the_right_status() {
    let place = place();
    let mut edge = listen(&place, &["--max-file-mb", "1"]);
    let port = edge.port();
    let mut peer = scu(port);
    // 2 × 800² bytes: above the limit, below twice the limit.
    assert!(refusal(peer.store(&dicom("1.2.3", 1, 800))).contains("C000"));
    assert!(refusal(peer.store(&dicom("1.2/../../3", 1, 64))).contains("0117"));
    assert!(refusal(peer.store(&dicom("..", 1, 64))).contains("0117"));
    peer.store(&dicom("1.2.4", 1, 64)).unwrap();
    // Far above the limit the association ends.
    assert!(matches!(peer.store(&dicom("1.2.5", 1, 2000)), Err(Failure::Unreachable(_))));
    edge.until("one film", |_| ended(&place.out) == 1);
    nothing_lost_or_doubled(&place.out, &["1.2.4".into()]);
    assert!(edge.stop().success());
    for full in [["--max-queue", "0"], ["--min-free-mb", "1000000000000"]] {
        let mut edge = listen(&place, &full);
        let mut peer = scu(edge.port());
        assert!(refusal(peer.store(&dicom("1.2.6", 1, 64))).contains("A700"));
        peer.echo().unwrap();
        peer.release();
        assert!(edge.stop().success());
    }
    assert_eq!(names(&place.out.join("spool")), ["1.2.4.dcm"]);
}

/// The embedded decoder writes about what looks like a film, into the JSON and into the structured report.
#[test]
fn the_decoder_writes_the_report() {
    let place = place();
    let mut edge = listen(&place, &[]);
    scu(edge.port()).store(&phantom("1.2.81", 256)).unwrap();
    edge.until("the film", |_| ended(&place.out) == 1);
    let report = &json(&place.out.join("1.2.81.json"))["report"];
    assert_eq!(report["source"], "decoder", "{report}");
    let film = place.out.join("spool/1.2.81.dcm");
    let output = command().args(["infer", "--report", "--format", "json", film.to_str().unwrap()]).output().unwrap();
    assert_eq!(&serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["report"], report);
    let object = fs::read(place.out.join("1.2.81.sr.dcm")).unwrap();
    let sentence = report["sentences"][0]["text"].as_str().unwrap();
    assert!(object.windows(sentence.len()).any(|part| part == sentence.as_bytes()), "{sentence}");
}

#[test]
fn what_is_no_decoder_is_refused_before_anything_is_taken_in() {
    let place = place();
    let encoder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/rad-dino-small.onnx");
    for (decoder, code) in [(encoder.as_path(), 3), (Path::new("nowhere.onnx"), 2)] {
        let out = place.out.to_str().unwrap();
        let mut command = command();
        command.args(["listen", "--ae-title", "EDGE", "--port", "0", "--bind", "127.0.0.1", "--out", out, "--decoder"]);
        let output = command.arg(decoder).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert!(!place.out.exists());
    }
}

/// A scan that cannot be read becomes a dead letter with a failure object; one without a study is read all the same.
#[test]
fn refused_scans_become_dead_letters() {
    let place = place();
    let mut edge = listen(&place, &[]);
    let mut peer = scu(edge.port());
    let whole = dicom("1.2.71", 1, 64);
    peer.store(&whole[..whole.len() - 1000]).unwrap();
    let study = whole.windows(4).position(|tag| tag == b"\x20\0\x0d\0").unwrap();
    let mut homeless = whole.clone();
    homeless[study + 2] = 0x0c;
    let homeless = replace(&homeless, b"1.2.71", b"1.2.72");
    peer.store(&homeless).unwrap();
    edge.until("both", |_| ended(&place.out) == 2);
    let states: Vec<_> = entries(&place.out).into_iter().map(|entry| (entry.name, entry.state)).collect();
    assert_eq!(states, [("1.2.71".to_string(), State::Dead), ("1.2.72".to_string(), State::Done)]);
    assert_eq!(json(&place.out.join("1.2.71.json"))["error"]["kind"], "malformed");
    let answer = json(&place.out.join("1.2.72.json"));
    let warnings = answer["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning["kind"] == "no_dicom_objects"), "{answer}");
    // The sender mends it and sends it again.
    peer.store(&whole).unwrap();
    edge.until("the mended one", |_| ended(&place.out) == 2 && entries(&place.out)[1].name == "1.2.71");
    assert!(json(&place.out.join("1.2.71.json"))["error"].is_null());
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for at in 0..bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

/// Cut off in the middle of an object, silent, or no DICOM at all: nothing is kept, and others are served.
#[test]
fn broken_connections_leave_nothing() {
    let place = place();
    let mut edge = listen(&place, &["--idle-seconds", "1", "--associations", "2"]);
    let port = edge.port();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x01\0\xff\xff\xff\xff", &[4, 0, 0, 0, 0, 2, 9, 9], &[0; 4096]] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(garbage).unwrap();
        drop(stream);
    }
    for cut in [200, 20_000, 90_000] {
        cut_off(port, cut);
    }
    // Silence ends after --idle-seconds.
    let start = Instant::now();
    let mut silent = TcpStream::connect(("127.0.0.1", port)).unwrap();
    silent.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert!(matches!(silent.read(&mut [0; 16]), Ok(0) | Err(_)));
    assert!(start.elapsed() < Duration::from_secs(60));
    edge.until("all lines are free", |_| associate(port, "EDGE").is_ok());
    let mut peer = scu(port);
    peer.store(&dicom("1.2.9", 1, 64)).unwrap();
    edge.until("the film", |_| ended(&place.out) == 1);
    nothing_lost_or_doubled(&place.out, &["1.2.9".into()]);
}

/// Sends the first `bytes` bytes of an association with one object through a relay, and hangs up.
fn cut_off(port: u16, bytes: u64) {
    let relay = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = relay.local_addr().unwrap().port();
    let relaying = std::thread::spawn(move || {
        let (mut near, _) = relay.accept().unwrap();
        let mut far = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (mut back, mut back_to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let answers = std::thread::spawn(move || std::io::copy(&mut back, &mut back_to));
        let mut sent = 0;
        let mut part = [0; 512];
        while sent < bytes {
            let Ok(read @ 1..) = near.read(&mut part) else { break };
            if far.write_all(&part[..read]).is_err() {
                break;
            }
            sent += read as u64;
        }
        let _ = far.shutdown(std::net::Shutdown::Both);
        let _ = near.shutdown(std::net::Shutdown::Both);
        let _ = answers.join().unwrap();
    });
    if let Ok(mut peer) = associate(address, "EDGE") {
        assert!(matches!(peer.store(&dicom("1.2.8", 1, 300)), Err(Failure::Unreachable(_))));
    }
    relaying.join().unwrap();
}

#[test]
fn more_associations_than_allowed_are_rejected() {
    let place = place();
    let mut edge = listen(&place, &["--associations", "2"]);
    let port = edge.port();
    let mut peers: Vec<_> = (0..2).map(|_| scu(port)).collect();
    assert!(matches!(associate(port, "EDGE"), Err(Failure::Unreachable(why)) if why.contains("reject")));
    peers.iter_mut().for_each(|peer| peer.echo().unwrap());
    peers.pop().unwrap().release();
    edge.until("a free line", |_| associate(port, "EDGE").is_ok());
}

/// Several senders at once, the same instances among them.
#[test]
fn several_senders_at_once() {
    let place = place();
    let mut edge = listen(&place, &[]);
    let port = edge.port();
    let senders: Vec<_> = (0..4)
        .map(|sender| {
            std::thread::spawn(move || {
                let mut peer = scu(port);
                for i in 0..6 {
                    // Two senders of each instance.
                    peer.store(&dicom(&format!("1.2.{}.{i}", sender % 2), i, 48)).unwrap();
                }
                peer.release();
            })
        })
        .collect();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    edge.until("twelve films", |_| ended(&place.out) == 12);
    let expected: Vec<_> = (0..2).flat_map(|sender| (0..6).map(move |i| format!("1.2.{sender}.{i}"))).collect();
    nothing_lost_or_doubled(&place.out, &expected);
}

/// SIGTERM with an association open: what was accepted is kept, and the end is clean.
#[test]
fn a_stop_is_graceful() {
    let place = place();
    let mut edge = listen(&place, &[]);
    let mut peer = scu(edge.port());
    for i in 0..4 {
        peer.store(&dicom(&format!("1.2.{i}"), i, 64)).unwrap();
    }
    assert!(edge.stop().success(), "{}", edge.log());
    assert!(entries(&place.out).iter().all(|entry| matches!(entry.state, State::Done | State::Queued)));
    assert!(matches!(peer.echo(), Err(Failure::Unreachable(_))));
    let mut edge = listen(&place, &[]);
    edge.until("the rest", |_| ended(&place.out) == 4);
    nothing_lost_or_doubled(&place.out, &(0..4).map(|i| format!("1.2.{i}")).collect::<Vec<_>>());
}

/// Results reach the archive once each, though it refuses the first ones, and though it was away at first.
#[test]
fn results_are_forwarded() {
    let place = place();
    let (port, taken) = archive(2);
    let away = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let forward = |port: u16| format!("127.0.0.1:{port}/ARCHIVE");
    let mut edge = listen(&place, &["--forward", &forward(away), "--retry-seconds", "0.05"]);
    let mut peer = scu(edge.port());
    peer.store(&dicom("1.2.1", 1, 64)).unwrap();
    peer.store(&dicom("1.2.2", 2, 64)).unwrap();
    edge.event("not_forwarded");
    edge.until("both films", |_| ended(&place.out) == 2);
    assert!(edge.stop().success());
    let mut edge = listen(&place, &["--forward", &forward(port), "--retry-seconds", "0.05"]);
    edge.until("six results", |_| taken.lock().unwrap().len() == 6);
    edge.until("their state", |_| {
        rad_dino_edge::service::Queue::view(&place.out).unwrap().counts().unwrap().unsent == 0
    });
    assert!(edge.stop().success());
    assert!(taken.lock().unwrap().values().all(|&times| times == 1), "{taken:?}");
    nothing_lost_or_doubled(&place.out, &["1.2.1".into(), "1.2.2".into()]);
}

fn installed(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: {tool} (Debian package dcmtk) is not installed");
    }
    there
}

fn dcmtk(tool: &str, port: u16, arguments: &[&str], files: &[&Path]) -> bool {
    let mut command = Command::new(tool);
    command.args(["-aec", "EDGE"]).args(arguments).args(["127.0.0.1", &port.to_string()]).args(files);
    let output = command.output().unwrap();
    eprintln!("{tool} {arguments:?}: {}{}", output.status, String::from_utf8_lossy(&output.stderr));
    output.status.success()
}

/// dcmtk's echoscu and storescu: implicit and explicit VR, and its own sequence of offers.
#[test]
fn dcmtk_sends() {
    if !installed("echoscu") || !installed("storescu") {
        return;
    }
    let place = place();
    let mut edge = listen(&place, &[]);
    let port = edge.port();
    assert!(dcmtk("echoscu", port, &[], &[]));
    let folder = tempfile::tempdir().unwrap();
    let mut expected = vec![];
    for (i, syntax) in ["-x=", "-xe", "-xb", "-xi"].into_iter().enumerate() {
        let uid = format!("1.2.40.{i}");
        let path = folder.path().join(&uid);
        fs::write(&path, dicom(&uid, i as u32, 200)).unwrap();
        assert!(dcmtk("storescu", port, &[syntax], &[&path]), "{syntax}");
        expected.push(uid);
    }
    edge.until("four films", |_| ended(&place.out) == 4);
    nothing_lost_or_doubled(&place.out, &expected);
    let syntaxes: Vec<_> = expected
        .iter()
        .map(|uid| {
            let file = fs::read(place.out.join(format!("spool/{uid}.dcm"))).unwrap();
            Meta::split(&file).unwrap().0.transfer_syntax
        })
        .collect();
    // storescu offers big endian with others beside it, in an order of its own.
    assert_eq!((syntaxes[1].as_str(), syntaxes[3].as_str()), ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2"));
}

/// Real compressed files (../shared/data/dicom, or $RDE_SHARED) by dcmtk's storescu, in their own transfer syntaxes.
#[test]
fn dcmtk_sends_compressed_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("shared");
    let shared = std::env::var_os("RDE_SHARED").map_or(root, PathBuf::from).join("data/dicom");
    if !shared.is_dir() {
        eprintln!("skipped: {} is not there", shared.display());
        return;
    }
    if !installed("storescu") {
        return;
    }
    let place = place();
    let mut edge = listen(&place, &[]);
    let port = edge.port();
    // Several of the files are one instance in several codings, so each has a queue of its own.
    let files = [
        ("-xv", "chest_NIH_mono2_12bit_J2Klossless.dcm", "1.2.840.10008.1.2.4.90"),
        ("-xt", "chest_NIH_mono2_8bit_JPEGLS.dcm", "1.2.840.10008.1.2.4.80"),
        ("-xy", "chest_KER_mono2_8bit_JPEGbaseline.dcm", "1.2.840.10008.1.2.4.50"),
        ("-xd", "chest_RG1quarter_mono1_15bit_deflated.dcm", "1.2.840.10008.1.2.1.99"),
    ];
    for (option, name, _) in files {
        assert!(dcmtk("storescu", port, &[option], &[&shared.join(name)]), "{name}");
    }
    edge.until("all films", |_| ended(&place.out) == files.len());
    for (entry, (_, name, syntax)) in entries(&place.out).iter().zip(files) {
        assert_eq!(entry.state, State::Done, "{name}: {entry:?}");
        let file = fs::read(place.out.join(format!("spool/{}.dcm", entry.name))).unwrap();
        assert_eq!(Meta::split(&file).unwrap().0.transfer_syntax, syntax, "{name}");
        assert!(place.out.join(format!("{}.sr.dcm", entry.name)).exists(), "{name}");
    }
}

/// dcmtk's storescp as the archive.
#[test]
fn dcmtk_receives() {
    if !installed("storescp") {
        return;
    }
    let place = place();
    let folder = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut archive =
        Command::new("storescp").arg("-od").arg(folder.path()).args(["+xa", &port.to_string()]).spawn().unwrap();
    let mut edge = listen(&place, &["--forward", &format!("127.0.0.1:{port}/ANY"), "--retry-seconds", "0.1"]);
    scu(edge.port()).store(&dicom("1.2.1", 1, 64)).unwrap();
    edge.until("three results in the archive", |_| {
        fs::read_dir(folder.path()).unwrap().filter(|entry| entry.as_ref().is_ok_and(|e| e.path().is_file())).count()
            == 3
            && rad_dino_edge::service::Queue::view(&place.out).unwrap().counts().unwrap().unsent == 0
    });
    archive.kill().unwrap();
    archive.wait().unwrap();
}
