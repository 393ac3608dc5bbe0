//! How much the service takes; not part of a plain test run.
//!
//! ```sh
//! cargo build --release --bin rad-dino-edge
//! RDE_BINARY=$PWD/target/release/rad-dino-edge cargo test --test service_load -- --ignored --nocapture
//! ```
//!
//! RDE_LOAD_OBJECTS (300), RDE_LOAD_SENDERS (2), RDE_LOAD_FILE (a DICOM file that is sent under new UIDs; without it a
//! made-up one of RDE_LOAD_SIDE² pixels, 1024).
#![cfg(all(feature = "service", feature = "dicom"))]

mod service;

use std::time::Instant;

use rad_dino_edge::service::dimse::{Meta, Scu};
use service::{Edge, dicom, ended, nothing_lost_or_doubled};

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// The file with its SOP Instance UID replaced by another of the same length, and that UID.
fn under_new_uid(file: &[u8], i: usize) -> (Vec<u8>, String) {
    let old = Meta::split(file).unwrap().0.sop_instance;
    let number = format!("{i:08}");
    let new = format!("{}.1{number}", &old[..old.len() - number.len() - 2].trim_end_matches('.'));
    let new = format!("{new}{}", "0".repeat(old.len() - new.len()));
    let mut file = file.to_vec();
    let mut at = 0;
    // The meta information and the data set name it in their first few kB.
    while at + old.len() < file.len().min(1 << 16) {
        if file[at..].starts_with(old.as_bytes()) {
            file[at..at + new.len()].copy_from_slice(new.as_bytes());
            at += new.len();
        } else {
            at += 1;
        }
    }
    (file, new)
}

#[test]
#[ignore = "a measurement; see the head of the file"]
fn load() {
    let objects = setting("RDE_LOAD_OBJECTS", 300);
    let senders = setting("RDE_LOAD_SENDERS", 2);
    let file = match std::env::var_os("RDE_LOAD_FILE") {
        Some(path) => std::fs::read(path).unwrap(),
        None => dicom("1.2.276.0.7230010.3.1.4.1787205428.166.1117461927.10", 5, setting("RDE_LOAD_SIDE", 1024) as u16),
    };
    let meta = Meta::split(&file).unwrap().0;
    let here = tempfile::tempdir().unwrap();
    let out = here.path().join("out");
    let mut edge = Edge::listen(&here.path().join("log"), &out, &["--max-queue", "1000000"]);
    let port = edge.port();
    let context = vec![(meta.sop_class, meta.transfer_syntax)];
    let started = edge.processor();
    let start = Instant::now();
    let sending: Vec<_> = (0..senders)
        .map(|sender| {
            let (file, context) = (file.clone(), context.clone());
            std::thread::spawn(move || {
                let address = format!("127.0.0.1:{port}");
                let timeout = std::time::Duration::from_secs(60);
                let mut peer = Scu::associate(&address, "EDGE", "LOAD", &context, timeout).unwrap();
                let mut uids = vec![];
                for i in (sender..objects).step_by(senders) {
                    let (film, uid) = under_new_uid(&file, i);
                    peer.store(&film).unwrap();
                    uids.push(uid);
                }
                peer.release();
                (uids, start.elapsed())
            })
        })
        .collect();
    let mut memory = vec![];
    let mut next = objects / 10;
    while ended(&out) < objects {
        if ended(&out) >= next {
            memory.push(edge.memory() / 1000);
            next += objects / 10;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    let read = start.elapsed();
    let processor = edge.processor() - started;
    memory.push(edge.memory() / 1000);
    let (uids, accepting): (Vec<_>, Vec<_>) = sending.into_iter().map(|sender| sender.join().unwrap()).unzip();
    let accepted = accepting.into_iter().max().unwrap();
    nothing_lost_or_doubled(&out, &uids.concat());
    assert!(edge.stop().success());
    let rate = |time: std::time::Duration| objects as f64 / time.as_secs_f64();
    println!("{objects} objects of {} kB from {senders} senders", file.len() / 1000);
    println!("accepted  {:7.1} films/s ({:.1} s)", rate(accepted), accepted.as_secs_f64());
    println!("read      {:7.1} films/s ({:.1} s)", rate(read), read.as_secs_f64());
    println!("processor {:7.0} ms a film", processor * 1000.0 / objects as f64);
    println!("resident memory, MB, at each tenth: {memory:?}");
}
