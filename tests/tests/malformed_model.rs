//! A model file that is cut off, or none at all, is refused; other damage is in mutations.

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
fn a_file_that_is_no_model_is_refused_in_words() {
    for bytes in [&b""[..], b"hello", b"\x89PNG\r\n\x1a\n", &[0xff; 64]] {
        let error = Engine::from_bytes(bytes, 1).expect_err("no model");
        assert_eq!(error.kind(), ErrorKind::Model);
        assert!(error.remedy().is_some());
    }
}
