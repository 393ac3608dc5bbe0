//! A checkpoint folder whose files are any bytes: the first byte says which file, the rest is its content; the others are
//! those of a small valid checkpoint.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use rad_dino_edge::checkpoint::Checkpoint;
use rad_dino_fuzz::{check_error, tell_panics};

const FILES: [&str; 5] = [
    "model.safetensors",
    "config.json",
    "preprocessor_config.json",
    "model.safetensors.index.json",
    "backbone_compatible.safetensors",
];

/// A folder in memory for this process.
fn folder() -> &'static PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let base = if std::path::Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
        tempfile::tempdir_in(base).expect("a folder").keep()
    })
}

fuzz_target!(|bytes: &[u8]| {
    tell_panics();
    let Some((which, content)) = bytes.split_first() else { return };
    let valid = concat!(env!("CARGO_MANIFEST_DIR"), "/../reference/data/checkpoints/smaller");
    let which = FILES[usize::from(*which) % FILES.len()];
    for name in FILES {
        let path = folder().join(name);
        let _ = std::fs::remove_file(&path);
        if name == which {
            std::fs::write(path, content).expect("written");
        } else if name != FILES[0] || which != FILES[3] && which != FILES[4] {
            // Without model.safetensors the others are looked at.
            let _ = std::fs::copy(format!("{valid}/{name}"), path);
        }
    }
    let weights = Checkpoint::open(folder()).and_then(|checkpoint| {
        let _ = checkpoint.sha256();
        checkpoint.encoder_weights()
    });
    if let Err(error) = weights {
        assert!(!error.message().is_empty());
        assert_ne!(error.kind(), rad_dino_edge::ErrorKind::Internal, "{error}");
        if error.kind() == rad_dino_edge::ErrorKind::Model {
            check_error(&error);
        }
    }
});
