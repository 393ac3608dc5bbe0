//! runtime/deploy/update.sh: a signed file is taken into use, a tampered one changes nothing, one that the doctor refuses is
//! rolled back. Needs `minisign` to sign with.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rad_dino_edge::model::manifest::Precision;
use rad_dino_quantize::{Options, convert};
use rad_dino_tests::{binary, code, reference, root};

struct EdgeBox {
    folder: tempfile::TempDir,
}

impl EdgeBox {
    /// A box with a signed binary in use; None, with the reason, where there is no minisign.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("temporary folder");
        let the = EdgeBox { folder };
        std::fs::create_dir(the.at("dir")).expect("created");
        let (public, secret) = (the.at("dir/release.pub"), the.at("secret"));
        let keys = Command::new("minisign").args(["-G", "-W", "-p"]).arg(public).arg("-s").arg(secret).output();
        if !keys.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no minisign to sign with (apt-get install minisign)");
            return None;
        }
        // A hard copy: installing marks it executable and later tests must not see that.
        std::fs::copy(binary("rad-dino-edge"), the.at("edge")).expect("copied");
        the.sign("edge");
        let output = the.update(&["install", &the.path("edge")]);
        assert_eq!(code(&output), 0, "{}", said(&output));
        Some(the)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    fn sign(&self, name: &str) {
        let status = Command::new("minisign")
            .args(["-S", "-s"])
            .arg(self.at("secret"))
            .arg("-m")
            .arg(self.at(name))
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .status()
            .expect("starts");
        assert!(status.success());
    }

    fn model(&self, name: &str, checkpoint: &str) {
        let folder = reference().join("checkpoints").join(checkpoint);
        convert(&folder, &Options::new(Precision::Int8, self.at(name))).expect("converts");
        self.sign(name);
    }

    fn update(&self, args: &[&str]) -> Output {
        let script = root().join("runtime/deploy/update.sh");
        Command::new("sh")
            .arg(script)
            .args(args)
            .arg("--dir")
            .arg(self.at("dir"))
            .env_remove("RDE_ISA")
            .output()
            .expect("sh starts")
    }

    fn in_use(&self) -> Option<PathBuf> {
        std::fs::read_link(self.at("dir/model.onnx")).ok()
    }

    fn bytes_in_use(&self) -> Vec<u8> {
        std::fs::read(self.at("dir/model.onnx")).expect("a model")
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bytes(path: &Path) -> Vec<u8> {
    std::fs::read(path).expect("readable")
}

#[test]
fn models_come_go_and_come_back() {
    let Some(the) = EdgeBox::new() else { return };
    the.model("first.onnx", "plain");
    the.model("second.onnx", "registers");
    for name in ["first.onnx", "second.onnx"] {
        let output = the.update(&["install", &the.path(name)]);
        assert_eq!(code(&output), 0, "{}", said(&output));
        assert_eq!(the.bytes_in_use(), bytes(&the.at(name)));
    }
    let second = the.in_use();

    // Tampered after signing: nothing changes.
    let mut tampered = bytes(&the.at("first.onnx"));
    let last = tampered.len() - 1;
    tampered[last] ^= 1;
    std::fs::write(the.at("tampered.onnx"), tampered).expect("written");
    std::fs::copy(the.at("first.onnx.minisig"), the.at("tampered.onnx.minisig")).expect("copied");
    let output = the.update(&["install", &the.path("tampered.onnx")]);
    assert_eq!(code(&output), 3);
    assert!(said(&output).contains("TAMPERED") && said(&output).contains("REFUSED"), "{}", said(&output));
    assert_eq!(the.in_use(), second);

    // Without a signature: nothing changes.
    std::fs::remove_file(the.at("tampered.onnx.minisig")).expect("removed");
    assert_eq!(code(&the.update(&["install", &the.path("tampered.onnx")])), 3);
    assert_eq!(the.in_use(), second);

    // Signed, but no model: the doctor refuses it, and the second is in use again.
    std::fs::write(the.at("broken.onnx"), b"signed rubbish").expect("written");
    the.sign("broken.onnx");
    let output = the.update(&["install", &the.path("broken.onnx")]);
    assert_eq!(code(&output), 1, "{}", said(&output));
    assert!(said(&output).contains("rolled back"), "{}", said(&output));
    assert_eq!(the.in_use(), second);

    let output = the.update(&["roll-back", "model"]);
    assert_eq!(code(&output), 0, "{}", said(&output));
    assert_eq!(the.bytes_in_use(), bytes(&the.at("first.onnx")));
    assert_eq!(code(&the.update(&["roll-back", "model"])), 0);
    assert_eq!(the.in_use(), second);
    let left = std::fs::read_dir(the.at("dir/models")).expect("a folder").map(|e| e.expect("an entry").file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_first_model_that_is_refused_leaves_none_in_use() {
    let Some(the) = EdgeBox::new() else { return };
    std::fs::write(the.at("broken.onnx"), b"signed rubbish").expect("written");
    the.sign("broken.onnx");
    assert_eq!(code(&the.update(&["install", &the.path("broken.onnx")])), 1);
    assert_eq!(the.in_use(), None);
    assert_eq!(code(&the.update(&["roll-back", "model"])), 2);
}
