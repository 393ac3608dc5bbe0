//! What the service's tests share: made-up films, the binary as a child, a node that takes results.
#![allow(dead_code)] // each test file uses its part

#[cfg(feature = "dicom")]
pub mod node;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use image::{GrayImage, ImageFormat, Luma};
use rad_dino_edge::service::Queue;
use rad_dino_edge::service::queue::{Entry, State};
use serde_json::Value;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Patient's data that must not get anywhere but into spool and DICOM results.
pub const PATIENT: &str = "DOE^PAULA";

/// A small picture, different for each seed.
pub fn png(seed: u32) -> Vec<u8> {
    let picture =
        GrayImage::from_fn(96, 120, |x, y| Luma([(x * 2 + y) as u8 ^ (seed.wrapping_mul(x + 7 * y) >> 9) as u8]));
    let mut bytes = Cursor::new(vec![]);
    picture.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// An uncompressed DX image of `side` × `side` 16-bit pixels, different for each seed.
pub fn dicom(uid: &str, seed: u32, side: u16) -> Vec<u8> {
    dicom_of(uid, side, |x, y| ((x * 3 + y * 2 + seed * 7) & 0xfff) as u16)
}

/// The synthetic radiograph of models/demo.png as such an image.
pub fn phantom(uid: &str, side: u16) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("models/demo.png");
    let picture = image::open(path).unwrap().into_luma8();
    let of = |at: u32, pixels: u32| at * pixels / u32::from(side);
    dicom_of(uid, side, |x, y| u16::from(picture.get_pixel(of(x, picture.width()), of(y, picture.height())).0[0]) << 4)
}

/// An uncompressed DX image of `side` × `side` pixels of 12 bits.
fn dicom_of(uid: &str, side: u16, pixel: impl Fn(u32, u32) -> u16) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    let mut meta = vec![];
    element(&mut meta, 2, 0x02, b"UI", b"1.2.840.10008.5.1.4.1.1.1.1");
    element(&mut meta, 2, 0x03, b"UI", uid.as_bytes());
    element(&mut meta, 2, 0x10, b"UI", b"1.2.840.10008.1.2.1");
    element(&mut bytes, 2, 0x00, b"UL", &(meta.len() as u32).to_le_bytes());
    bytes.extend(meta);
    let words = |value: u16| value.to_le_bytes();
    let pixels = (0..u32::from(side)).flat_map(|y| (0..u32::from(side)).map(move |x| (x, y)));
    let pixels: Vec<u8> = pixels.flat_map(|(x, y)| pixel(x, y).to_le_bytes()).collect();
    let elements: [(u16, u16, &[u8; 2], &[u8]); 18] = [
        (0x0008, 0x0016, b"UI", b"1.2.840.10008.5.1.4.1.1.1.1"),
        (0x0008, 0x0018, b"UI", uid.as_bytes()),
        (0x0008, 0x0020, b"DA", b"20260102"),
        (0x0008, 0x0060, b"CS", b"DX"),
        (0x0010, 0x0010, b"PN", PATIENT.as_bytes()),
        (0x0010, 0x0020, b"LO", b"P-4711"),
        (0x0010, 0x0040, b"CS", b"F"),
        (0x0020, 0x000d, b"UI", b"1.2.276.0.9.1"),
        (0x0020, 0x000e, b"UI", b"1.2.276.0.9.1.1"),
        (0x0028, 0x0002, b"US", &words(1)),
        (0x0028, 0x0004, b"CS", b"MONOCHROME2"),
        (0x0028, 0x0010, b"US", &words(side)),
        (0x0028, 0x0011, b"US", &words(side)),
        (0x0028, 0x0100, b"US", &words(16)),
        (0x0028, 0x0101, b"US", &words(12)),
        (0x0028, 0x0102, b"US", &words(11)),
        (0x0028, 0x0103, b"US", &words(0)),
        (0x7fe0, 0x0010, b"OW", &pixels),
    ];
    for (group, number, vr, value) in elements {
        element(&mut bytes, group, number, vr, value);
    }
    bytes
}

fn element(bytes: &mut Vec<u8>, group: u16, number: u16, vr: &[u8; 2], value: &[u8]) {
    bytes.extend(group.to_le_bytes());
    bytes.extend(number.to_le_bytes());
    bytes.extend(vr);
    let length = value.len().next_multiple_of(2);
    if vr == b"OW" {
        bytes.extend([0, 0]);
        bytes.extend((length as u32).to_le_bytes());
    } else {
        bytes.extend((length as u16).to_le_bytes());
    }
    bytes.extend(value);
    if value.len() % 2 == 1 {
        bytes.push(if vr == b"UI" { 0 } else { b' ' });
    }
}

/// The binary under test: RDE_BINARY, else the one built with this test.
pub fn binary() -> PathBuf {
    std::env::var_os("RDE_BINARY").map_or_else(|| env!("CARGO_BIN_EXE_rad-dino-edge").into(), PathBuf::from)
}

/// The binary as a command without settings from around it.
pub fn command() -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RDE_") && name != "RDE_ISA" {
            command.env_remove(name);
        }
    }
    command
}

/// A running `watch` or `listen`; killed when dropped.
pub struct Edge {
    child: Child,
    log: PathBuf,
}

impl Edge {
    /// Starts the binary; its log goes to the file `log`.
    pub fn start(log: &Path, arguments: &[&str]) -> Edge {
        let file = File::create(log).unwrap();
        let child = command().args(arguments).stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Edge { child, log: log.to_path_buf() }
    }

    /// Starts `listen` as EDGE on a free port of the loopback.
    pub fn listen(log: &Path, out: &Path, more: &[&str]) -> Edge {
        let out = out.to_str().unwrap();
        let own = ["listen", "--ae-title", "EDGE", "--port", "0", "--bind", "127.0.0.1", "--out", out];
        Edge::start(log, &[&own, more].concat())
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Waits for a log line of this event.
    pub fn event(&mut self, event: &str) -> Value {
        let mut found = None;
        self.until(event, |edge| {
            let log = edge.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = lines.rfind(|line| line["event"] == event);
            found.is_some()
        });
        found.unwrap()
    }

    /// The port that `listen --port 0` got.
    pub fn port(&mut self) -> u16 {
        self.event("listening")["port"].as_u64().unwrap() as u16
    }

    /// Waits until `done`.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Edge) -> bool) {
        let start = Instant::now();
        while !done(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{what}: it ended with {ended:?}:\n{}", self.log());
            assert!(start.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not stop:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Resident memory, kB.
    pub fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Edge {
    /// Processor time so far, seconds: what the work costs, however busy the machine is.
    pub fn processor(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // utime and stime, in ticks of 1/100 s (proc_pid_stat(5))
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The entries of the queue in `out`, oldest first.
pub fn entries(out: &Path) -> Vec<Entry> {
    let Ok(queue) = Queue::view(out) else { return vec![] };
    let mut entries = queue.list(1_000_000).unwrap();
    entries.reverse();
    entries
}

/// How many have ended.
pub fn ended(out: &Path) -> usize {
    entries(out).iter().filter(|entry| matches!(entry.state, State::Done | State::Dead)).count()
}

pub fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
}

/// Names in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The lines of the audit; each object has one, and they are numbered without a gap.
pub fn audit(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("audit.jsonl")).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(line["seq"], i as u64 + 1, "{text}");
    }
    let mut objects: Vec<_> = lines.iter().map(|line| line["object"].as_i64().unwrap()).collect();
    objects.sort_unstable();
    assert!(objects.windows(2).all(|pair| pair[0] != pair[1]), "an object has two lines: {text}");
    lines
}

/// Holds when nothing of `names` is lost or doubled: each has one entry, done, one whole JSON, one line in the audit with
/// the hashes of that JSON and of its DICOM objects, and nothing half-done lies around.
pub fn nothing_lost_or_doubled(out: &Path, expected: &[String]) {
    let mut expected = expected.to_vec();
    expected.sort();
    let entries = entries(out);
    let mut found: Vec<_> = entries.iter().map(|entry| entry.name.clone()).collect();
    found.sort();
    assert_eq!(found, expected, "entries of the queue");
    assert!(entries.iter().all(|entry| entry.state == State::Done), "{entries:?}");
    let files = names(out);
    let results: Vec<_> = files.iter().filter_map(|name| name.strip_suffix(".json")).map(str::to_string).collect();
    assert_eq!(results, expected, "results");
    assert!(!files.iter().any(|name| name.ends_with(".tmp")), "{files:?}");
    let spool = names(&out.join("spool"));
    assert_eq!(spool.len(), expected.len(), "{spool:?}");
    let audit = audit(out);
    assert_eq!(audit.len(), expected.len());
    let lines: HashMap<_, _> = audit.iter().map(|line| (line["result_sha256"].as_str().unwrap(), line)).collect();
    for name in &expected {
        let answer = fs::read(out.join(format!("{name}.json"))).unwrap();
        let line = lines.get(hex(&answer).as_str());
        let line = line.unwrap_or_else(|| panic!("{name}: its result is not the audit's"));
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(line["input_sha256"], answer["input"]["sha256"], "{name}");
        for (suffix, hash) in line["dicom_sha256"].as_object().into_iter().flatten() {
            let object = fs::read(out.join(format!("{name}.{suffix}"))).unwrap();
            assert_eq!(hash, hex(&object).as_str(), "{name}.{suffix} is not the audit's");
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
