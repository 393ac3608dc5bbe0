//! SIGKILL at random moments: nothing that was accepted is lost, nothing is reported twice. RDE_KILL_ROUNDS says how
//! often (a few by default; 500 take some ten minutes), RDE_KILL_SEED when, RDE_BINARY which binary.
#![cfg(all(feature = "service", feature = "dicom"))]

mod service;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use rad_dino_edge::service::Queue;
use service::node::{archive, associate};
use service::{Edge, dicom, ended, names, nothing_lost_or_doubled, png};
use sha2::{Digest, Sha256};

fn rounds() -> u32 {
    std::env::var("RDE_KILL_ROUNDS").map_or(4, |rounds| rounds.parse().unwrap())
}

/// Milliseconds below `limit`, in a sequence that RDE_KILL_SEED fixes.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let clock = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = std::env::var("RDE_KILL_SEED").map_or(clock | 1, |seed| seed.parse().unwrap());
        eprintln!("RDE_KILL_SEED={seed}");
        Moments(seed)
    }

    fn next(&mut self, limit: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_micros(self.0 % (limit * 1000))
    }
}

type Hashes = HashMap<String, Vec<u8>>;

/// Remembers every result that is there; one that was there before must not have changed.
fn unchanged(out: &Path, seen: &mut Hashes) {
    if !out.exists() {
        return;
    }
    for name in names(out) {
        if name.starts_with('.') || !(name.ends_with(".json") || name.ends_with(".dcm")) {
            continue;
        }
        // A failed read: it was renamed in between.
        let bytes = fs::read(out.join(&name)).unwrap();
        let hash = Sha256::digest(&bytes).to_vec();
        if let Some(before) = seen.insert(name.clone(), hash.clone()) {
            assert_eq!(before, hash, "{name} was written twice, differently");
        }
    }
}

#[test]
fn killed_while_a_scanner_sends() {
    let here = tempfile::tempdir().unwrap();
    let (out, log) = (here.path().join("out"), here.path().join("log"));
    let (archive, taken) = archive(0);
    let forward = format!("127.0.0.1:{archive}/ARCHIVE");
    let more = ["--min-free-mb", "1", "--forward", &forward, "--retry-seconds", "0.1"];
    let mut moments = Moments::new();
    let mut seen = Hashes::new();
    // The scanner's own list: an instance leaves it when success was answered, and only then.
    let mut accepted: Vec<String> = vec![];
    let uid = |i: usize| format!("1.2.276.0.9.77.{i}");
    let rounds = rounds();
    for round in 0..rounds {
        let mut edge = Edge::listen(&log, &out, &more);
        if round % 4 == 3 {
            // While it starts and finds its place.
            std::thread::sleep(moments.next(300));
            edge.kill();
            unchanged(&out, &mut seen);
            continue;
        }
        let port = edge.port();
        // As many as it can read in time, so that kills meet every stage, the writing of results too.
        let waiting = Queue::view(&out).unwrap().waiting().unwrap();
        let first = accepted.len();
        let last = first + if waiting < 8 { 3 } else { 0 };
        let (answered, answers) = mpsc::channel();
        let sender = std::thread::spawn(move || {
            let Ok(mut peer) = associate(port, "EDGE") else { return };
            for i in first..last {
                if peer.store(&dicom(&uid(i), i as u32, 48)).is_err() {
                    return;
                }
                answered.send(i).unwrap();
            }
        });
        std::thread::sleep(moments.next(900));
        edge.kill();
        sender.join().unwrap();
        accepted.extend(answers.try_iter().map(uid));
        unchanged(&out, &mut seen);
    }
    let mut edge = Edge::listen(&log, &out, &more);
    let mut peer = associate(edge.port(), "EDGE").unwrap();
    // The one that was not answered when the end came, if any, and two more.
    for i in accepted.len()..accepted.len() + 3 {
        peer.store(&dicom(&uid(i), i as u32, 48)).unwrap();
    }
    accepted.extend((accepted.len()..accepted.len() + 3).map(uid));
    edge.until("all films", |_| ended(&out) >= accepted.len());
    edge.until("all results sent", |_| Queue::view(&out).unwrap().counts().unwrap().unsent == 0);
    assert!(edge.stop().success());
    nothing_lost_or_doubled(&out, &accepted);
    unchanged(&out, &mut seen);
    let taken = taken.lock().unwrap();
    assert_eq!(taken.len(), 3 * accepted.len(), "results in the archive");
    let again = taken.values().filter(|&&times| times > 1).count();
    eprintln!(
        "{rounds} × SIGKILL: {} films accepted, none lost, none doubled; {again} of {} results reached the archive again \
         under their own UID",
        accepted.len(),
        taken.len()
    );
}

#[test]
fn killed_while_watching() {
    let here = tempfile::tempdir().unwrap();
    let (dir, out, log) = (here.path().join("in"), here.path().join("out"), here.path().join("log"));
    fs::create_dir(&dir).unwrap();
    let arguments =
        ["watch", dir.to_str().unwrap(), "--out", out.to_str().unwrap(), "--settle-seconds", "0", "--min-free-mb", "1"];
    let mut moments = Moments::new();
    let mut seen = Hashes::new();
    let mut expected = vec![];
    for round in 0..rounds().div_ceil(4) {
        let mut edge = Edge::start(&log, &arguments);
        for i in 0..5 {
            let name = format!("film-{round}-{i}");
            fs::write(dir.join(format!("{name}.png")), png(round * 8 + i)).unwrap();
            expected.push(name);
            std::thread::sleep(moments.next(100));
        }
        std::thread::sleep(moments.next(400));
        edge.kill();
        unchanged(&out, &mut seen);
    }
    let mut edge = Edge::start(&log, &arguments);
    edge.until("all films", |_| ended(&out) >= expected.len());
    // where the kills had left nothing to do, it may not have come as far as to take a signal
    edge.event("watching");
    assert!(edge.stop().success());
    nothing_lost_or_doubled(&out, &expected);
    unchanged(&out, &mut seen);
}
