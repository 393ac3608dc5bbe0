//! How much `listen` takes, and for how long; not part of a plain test run.
//!
//! ```sh
//! cargo build --release --bin rad-dino-edge
//! export RDE_BINARY=$PWD/target/release/rad-dino-edge
//! cargo test --test service_load -- --ignored --nocapture                                              # 300 films of 1024²
//! RDE_LOAD_OBJECTS=10000 RDE_LOAD_SIDE=256 cargo test --test service_load -- --ignored --nocapture     # a soak
//! ```
//!
//! RDE_LOAD_OBJECTS (300), RDE_LOAD_SENDERS (2), RDE_LOAD_FILE (a DICOM file that is sent under new UIDs; without it the
//! synthetic radiograph of models/demo.png with RDE_LOAD_SIDE² pixels, 1024), RDE_LOAD_OUT (an empty folder that is kept;
//! without it a temporary one), RDE_LOAD_OPTIONS (further ones of `listen`).
#![cfg(all(feature = "service", feature = "dicom"))]

mod service;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rad_dino_edge::service::Queue;
use rad_dino_edge::service::dimse::{Meta, Scu};
use service::{Edge, json, nothing_lost_or_doubled, phantom};

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

/// What one sender of several sends, one object after the other: the UIDs, and when it was done.
fn send(port: u16, file: &[u8], numbers: impl Iterator<Item = usize>, start: Instant) -> (Vec<String>, Duration) {
    let meta = Meta::split(file).unwrap().0;
    let context = [(meta.sop_class, meta.transfer_syntax)];
    let address = format!("127.0.0.1:{port}");
    let mut peer = Scu::associate(&address, "EDGE", "LOAD", &context, Duration::from_secs(60)).unwrap();
    let mut uids = vec![];
    for i in numbers {
        let (film, uid) = under_new_uid(file, i);
        peer.store(&film).unwrap();
        uids.push(uid);
    }
    peer.release();
    (uids, start.elapsed())
}

/// Bytes of a folder's files.
fn size(folder: &Path) -> u64 {
    let sizes = fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let meta = entry.metadata().unwrap();
        if meta.is_dir() { size(&entry.path()) } else { meta.len() }
    });
    sizes.sum()
}

#[test]
#[ignore = "a measurement; see the head of the file"]
fn load() {
    let objects = setting("RDE_LOAD_OBJECTS", 300);
    let senders = setting("RDE_LOAD_SENDERS", 2);
    let file = match std::env::var_os("RDE_LOAD_FILE") {
        Some(path) => fs::read(path).unwrap(),
        None => phantom("1.2.276.0.7230010.3.1.4.1787205428.166.1117461927.10", setting("RDE_LOAD_SIDE", 1024) as u16),
    };
    let here = tempfile::tempdir().unwrap();
    let out = std::env::var_os("RDE_LOAD_OUT").map_or(here.path().join("out"), PathBuf::from);
    let options = std::env::var("RDE_LOAD_OPTIONS").unwrap_or_default();
    let options: Vec<_> = ["--max-queue", "1000000"].into_iter().chain(options.split_whitespace()).collect();
    let mut edge = Edge::listen(&here.path().join("log"), &out, &options);
    let port = edge.port();
    let started = edge.processor();
    let start = Instant::now();
    let sending: Vec<_> = (0..senders)
        .map(|sender| {
            let file = file.clone();
            std::thread::spawn(move || send(port, &file, (sender..objects).step_by(senders), start))
        })
        .collect();
    let queue = Queue::view(&out).unwrap();
    let step = objects.div_ceil(10);
    let mut next = step.min(objects / 100).max(1);
    let mut memory = vec![];
    loop {
        let counts = queue.counts().unwrap();
        let ended = (counts.done + counts.dead) as usize;
        if ended >= next {
            memory.push(edge.memory() / 1000);
            println!(
                "{ended:6} read, {:6} wait, {:7.1} s, {:4} MB resident, {:6.1} ms of processor a film",
                counts.queued,
                start.elapsed().as_secs_f64(),
                memory.last().unwrap(),
                (edge.processor() - started) * 1e3 / ended as f64
            );
            next = (ended / step + 1) * step;
        }
        if ended >= objects {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let read = start.elapsed();
    let processor = edge.processor() - started;
    let (uids, accepting): (Vec<_>, Vec<_>) = sending.into_iter().map(|sender| sender.join().unwrap()).unzip();
    let (uids, accepted) = (uids.concat(), accepting.into_iter().max().unwrap());
    assert!(edge.stop().success());

    nothing_lost_or_doubled(&out, &uids);
    let mut written = 0;
    for uid in &uids {
        for suffix in ["sr", "sc", "seg"] {
            let object = fs::read(out.join(format!("{uid}.{suffix}.dcm"))).unwrap();
            Meta::split(&object).unwrap();
        }
        written += usize::from(json(&out.join(format!("{uid}.json")))["report"]["source"] == "decoder");
    }
    let rate = |time: Duration| objects as f64 / time.as_secs_f64();
    let megabytes = |folder: &Path| size(folder) / 1_000_000;
    println!("{objects} objects of {} kB from {senders} senders, {written} reports by the decoder", file.len() / 1000);
    println!("accepted  {:7.1} films/s ({:.1} s)", rate(accepted), accepted.as_secs_f64());
    println!("read      {:7.1} films/s ({:.1} s)", rate(read), read.as_secs_f64());
    println!("processor {:7.0} ms a film", processor * 1000.0 / objects as f64);
    println!("resident memory, MB: {memory:?}");
    println!("disk      {:7} MB, {} MB of it what came in", megabytes(&out), megabytes(&out.join("spool")));
}
