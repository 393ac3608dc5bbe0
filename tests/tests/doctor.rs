//! `doctor`: the machine at hand is fit, and what is broken is found.

use std::net::TcpListener;
use std::process::Command;

use rad_dino_edge::doctor::{Answer, known};
use rad_dino_edge::engine::Engine;
use rad_dino_kernels::Isa;
use rad_dino_tests::{binary, code, json_lines, root, run};
use serde_json::Value;

const MODEL: &str = "models/rad-dino-small.onnx";

fn check<'a>(report: &'a Value, name: &str) -> &'a Value {
    let checks = report["checks"].as_array().expect("checks");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name} in {report}"))
}

#[test]
fn shipped_models_have_their_fingerprints_on_record() {
    for model in [MODEL, "models/rad-dino-tiny.onnx"] {
        let engine = Engine::from_file_on(&root().join(model), 2, Isa::detect()).expect("loads");
        let answer = Answer::of(&engine).expect("answers");
        if std::env::var_os("RDE_WRITE_REFERENCE").is_some() {
            let scalar = Engine::from_file_on(&root().join(model), 2, Isa::Scalar).expect("loads");
            let fingerprint = Answer::of(&scalar).expect("answers").fingerprint();
            let path = root().join("models/fingerprints.txt");
            let name = &scalar.manifest().expect("a manifest").name;
            let old = std::fs::read_to_string(&path).expect("committed");
            let others = old.lines().filter(|line| !line.starts_with(scalar.sha256())).map(|line| format!("{line}\n"));
            let text = others.collect::<String>() + &format!("{} {fingerprint} {name}\n", scalar.sha256());
            std::fs::write(path, text).expect("written");
            continue;
        }
        let recorded = known(engine.sha256());
        let hint = "after a new model: RDE_WRITE_REFERENCE=1 cargo test --workspace --test doctor";
        assert_eq!(recorded, Some(answer.fingerprint().as_str()), "{model}: {hint}");
    }
}

#[test]
fn a_fit_machine_passes() {
    let out = tempfile::tempdir().expect("temporary folder");
    let folder = out.path().to_string_lossy().into_owned();
    let output = run("rad-dino-edge", &["doctor", "--format", "json", "--out", &folder]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stdout));
    let [report] = &json_lines(&output)[..] else { panic!("one line") };
    assert_eq!(report["schema"], "rad-dino-edge/doctor/1");
    assert_eq!(report["ok"], true);
    for name in ["cpu", "threads", "model", "self-check", "memory", "disk", "clock"] {
        assert!(["ok", "warning"].contains(&check(report, name)["status"].as_str().expect("a word")), "{report}");
    }
    assert!(check(report, "self-check")["detail"].as_str().expect("text").contains("recorded bytes"), "{report}");
    assert_eq!(std::fs::read_dir(out.path()).expect("a folder").count(), 0, "nothing is left behind");
}

#[test]
fn a_model_of_ones_own_is_held_to_plain_code() {
    // The same weights under another sha256: a metadata entry more.
    let mut bytes = std::fs::read(root().join(MODEL)).expect("committed");
    bytes.extend(b"\x72\x06\x0a\x01k\x12\x01v");
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("own.onnx").to_string_lossy().into_owned();
    std::fs::write(&path, bytes).expect("written");
    let output = run("rad-dino-edge", &["doctor", "--format", "json", "--model", &path]);
    let report = &json_lines(&output)[0];
    assert_eq!(code(&output), 0, "{report}");
    let detail = check(report, "self-check")["detail"].as_str().expect("text").to_string();
    assert!(detail.contains("the bytes of plain code"), "{detail}");
}

#[test]
fn what_is_broken_is_found() {
    let taken = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = taken.local_addr().expect("an address").port().to_string();
    let output = run("rad-dino-edge", &["doctor", "--format", "json", "--port", &port, "--out", "/no/such/folder"]);
    assert_eq!(code(&output), 1);
    let report = &json_lines(&output)[0];
    assert_eq!(report["ok"], false);
    for name in ["port", "disk"] {
        assert_eq!(check(report, name)["status"], "failed");
        assert!(check(report, name)["hint"].is_string());
    }
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("broken.onnx").to_string_lossy().into_owned();
    std::fs::write(&path, b"no model").expect("written");
    let output = run("rad-dino-edge", &["doctor", "--format", "json", "--model", &path]);
    assert_eq!(code(&output), 3);
    assert_eq!(check(&json_lines(&output)[0], "model")["status"], "failed");
    let key = root().join("tests/reference/data/signature/release.pub").to_string_lossy().into_owned();
    let output = run("rad-dino-edge", &["doctor", "--format", "json", "--model", &path, "--key", &key]);
    assert_eq!(code(&output), 3);
    let report = &json_lines(&output)[0];
    assert_eq!(check(report, "signature")["status"], "failed");
    assert!(report["checks"].as_array().expect("checks").iter().all(|c| c["name"] != "model"), "not even parsed");
    let output =
        Command::new(binary("rad-dino-edge")).args(["doctor"]).env("RDE_ISA", "quantum").output().expect("runs");
    assert_eq!(code(&output), 1);
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED   cpu"));
}
