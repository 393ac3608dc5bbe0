//! Any bytes as a signature and as a key: never accepted, always refused in words.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rad_dino_edge::signature::Key;
use rad_dino_fuzz::{check_error, tell_panics};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../reference/data/signature");

fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let base = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
        tempfile::tempdir_in(base).expect("a folder").keep()
    })
}

fuzz_target!(|bytes: &[u8]| {
    tell_panics();
    let (signature, signed) = (folder().join("a.minisig"), folder().join("a"));
    std::fs::write(&signature, bytes).expect("written");
    std::fs::write(&signed, b"other bytes than those that were signed").expect("written");
    let key = Key::read(&format!("{DATA}/release.pub")).expect("a key");
    let error = key.verify(&signed, &signature).expect_err("nobody signed this");
    if error.kind() != rad_dino_edge::ErrorKind::Signature {
        check_error(&error);
    }
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(key) = Key::read(text)
    {
        let _ = key.verify(&signed, &signature);
    }
});
