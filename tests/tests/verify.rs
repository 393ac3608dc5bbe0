//! `verify`: a signed file is accepted, whatever was changed is refused with exit code 3.

use std::path::{Path, PathBuf};

use rad_dino_tests::{code, json_lines, reference, run};

struct Signed {
    folder: tempfile::TempDir,
}

impl Signed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let signed = Signed { folder };
        for name in ["signed.bin", "signed.bin.minisig", "release.pub", "other.pub", "old-mode.minisig"] {
            std::fs::copy(reference().join("signature").join(name), signed.at(name)).expect(name);
        }
        signed
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    fn verify(&self, more: &[&str]) -> std::process::Output {
        let (file, key) = (self.path("signed.bin"), self.path("release.pub"));
        run("rad-dino-edge", &[&["verify", &file, "--key", &key], more].concat())
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("readable");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_signed_file_is_accepted() {
    let signed = Signed::new();
    let output = signed.verify(&["--format", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let [report] = &json_lines(&output)[..] else { panic!("one line") };
    assert_eq!(report["schema"], "rad-dino-edge/verify/1");
    assert_eq!(report["verified"], true);
    assert_eq!(report["bytes"], 80_004);
    assert_eq!(report["sha256"].as_str().map(str::len), Some(64));
    let key = std::fs::read_to_string(signed.at("release.pub")).expect("a key");
    let id = report["key_id"].as_str().expect("an id");
    assert!(key.contains(id), "{id} in {key}");
    assert!(report["trusted_comment"].as_str().expect("a comment").contains("file:signed.bin"));
    let text = signed.verify(&[]);
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("verified"));
    assert!(signed.verify(&["--quiet"]).stdout.is_empty());
    let bare = key.lines().nth(1).expect("the key's line");
    let output = run("rad-dino-edge", &["verify", &signed.path("signed.bin"), "--key", bare]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_changed_file_is_refused() {
    for at in [0, 40_000, 80_003] {
        let signed = Signed::new();
        flip(&signed.at("signed.bin"), at);
        let output = signed.verify(&["--format", "json"]);
        assert_eq!(code(&output), 3);
        assert!(stderr(&output).contains("TAMPERED"), "{}", stderr(&output));
        let [report] = &json_lines(&output)[..] else { panic!("one line") };
        assert_eq!((&report["verified"], &report["error"]["kind"]), (&false.into(), &"signature".into()));
    }
    let signed = Signed::new();
    let bytes = std::fs::read(signed.at("signed.bin")).expect("readable");
    for changed in [&bytes[..bytes.len() - 1], &[&bytes[..], b"x"].concat(), b""] {
        std::fs::write(signed.at("signed.bin"), changed).expect("written");
        assert_eq!(code(&signed.verify(&[])), 3);
    }
}

#[test]
fn a_changed_signature_is_refused_wherever_it_was_changed() {
    let length = std::fs::read(Signed::new().at("signed.bin.minisig")).expect("readable").len();
    let text = std::fs::read_to_string(Signed::new().at("signed.bin.minisig")).expect("text");
    // The first line is the untrusted comment: not covered, and its words are never shown.
    let first = text.find('\n').expect("lines") + 1;
    for at in (first..length - 1).step_by(7) {
        let signed = Signed::new();
        flip(&signed.at("signed.bin.minisig"), at);
        let output = signed.verify(&[]);
        assert_eq!(code(&output), 3, "byte {at}: {}", stderr(&output));
    }
}

#[test]
fn another_key_an_old_mode_and_a_missing_signature_are_refused_in_words() {
    let signed = Signed::new();
    let (file, other) = (signed.path("signed.bin"), signed.path("other.pub"));
    let output = run("rad-dino-edge", &["verify", &file, "--key", &other]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("another key"), "{}", stderr(&output));
    let output = signed.verify(&["--signature", &signed.path("old-mode.minisig")]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("old mode"), "{}", stderr(&output));
    std::fs::remove_file(signed.at("signed.bin.minisig")).expect("removed");
    let output = signed.verify(&[]);
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("no signature"), "{}", stderr(&output));
}

#[test]
fn mistakes_on_the_command_line_are_usage() {
    let signed = Signed::new();
    let key = signed.path("release.pub");
    for args in [
        vec!["verify", "absent.onnx", "--key", &key],
        vec!["verify", &key, "--key", "no key"],
        vec!["verify", &key, "--key", &signed.path("signed.bin")],
        vec!["verify", &key],
    ] {
        assert_eq!(code(&run("rad-dino-edge", &args)), 2, "{args:?}");
    }
}
