//! What stands behind the network's doors: a small model, a talk over the loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::reader::Reader;
use rad_dino_quantize::{Options, convert};

/// Long enough for a busy machine; whoever answers later hangs.
const PATIENCE: Duration = Duration::from_secs(15);

/// A folder in memory for this process.
///
/// # Panics
/// When there is no room for one.
pub fn folder() -> PathBuf {
    let base = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
    tempfile::tempdir_in(base).expect("a folder").keep()
}

/// A reader over 24 × 24 pixels.
///
/// # Panics
/// When the committed checkpoint cannot be converted.
pub fn reader() -> Reader {
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoint = concat!(env!("CARGO_MANIFEST_DIR"), "/../reference/data/checkpoints/smaller");
    let out = folder.path().join("model.onnx");
    convert(checkpoint.as_ref(), &Options::new(Precision::Int8, &out)).expect("converts");
    Reader::new(Engine::from_file(&out, 1).expect("loads"), "fuzzed").expect("has a manifest")
}

/// Says `bytes`, and hears the other side out. `close`: says that nothing more will come.
///
/// # Panics
/// When nobody listens, or the other side hangs.
pub fn talk(address: SocketAddr, bytes: &[u8], close: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    // whoever is refused early may hang up before all is said
    let _ = stream.write_all(bytes);
    if close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut heard = vec![];
    if let Err(error) = stream.read_to_end(&mut heard) {
        use std::io::ErrorKind as Kind;
        assert!(!matches!(error.kind(), Kind::WouldBlock | Kind::TimedOut), "it hangs: {error}");
    }
    heard
}
