//! A damaged model file is refused, whatever was damaged; nothing panics.

use rad_dino_edge::ErrorKind;
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_quantize::{Options, convert};
use rad_dino_tests::reference;

fn model() -> Vec<u8> {
    let mut dirs: Vec<_> = std::fs::read_dir(reference().join("checkpoints"))
        .expect("committed")
        .map(|e| e.expect("readable").path())
        .filter(|path| path.join("reference.safetensors").exists())
        .collect();
    dirs.sort();
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().join("model.onnx");
    convert(&dirs[0], &Options::new(Precision::Int8, &out)).expect("converts");
    std::fs::read(out).expect("written")
}

#[test]
fn truncated_anywhere_is_refused() {
    let bytes = model();
    assert!(Engine::from_bytes(&bytes, 1).is_ok());
    for i in 0..200 {
        let cut = bytes.len() * i / 200;
        let error = Engine::from_bytes(&bytes[..cut], 1).expect_err("a truncated file");
        assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let bytes = model();
    let mut state = 7u64;
    for _ in 0..300 {
        let mut damaged = bytes.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Most damage goes to the structure, which is dense at both ends of the file.
            let span = if state & 1 == 0 { 4096.min(bytes.len()) } else { bytes.len() };
            let at = (state >> 20) as usize % span;
            let at = if state & 2 == 0 { at } else { bytes.len() - 1 - at };
            damaged[at] ^= (state >> 12) as u8 | 1;
        }
        if let Ok(engine) = Engine::from_bytes(&damaged, 1) {
            let size = engine.shape().image_size;
            if size <= 256 {
                let _ = engine.run(&vec![0.5; 3 * size * size], 1);
            }
        }
    }
}

#[test]
fn a_file_that_is_no_model_is_refused_in_words() {
    for bytes in [&b""[..], b"hello", b"\x89PNG\r\n\x1a\n", &[0xff; 64]] {
        let error = Engine::from_bytes(bytes, 1).expect_err("no model");
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(error.remedy().is_some());
    }
}
