//! `listen` over TLS: certificates by openssl, callers by dcmtk. `cargo test --workspace --features rad-dino-edge/tls
//! --test service_tls`.
#![cfg(feature = "tls")]

mod service;

use std::path::Path;
use std::process::Command;

use service::{Edge, command, dicom, ended, nothing_lost_or_doubled};

fn run(program: &str, folder: &Path, arguments: &str) -> Option<bool> {
    let output = Command::new(program).args(arguments.split(' ')).current_dir(folder).output().ok()?;
    eprintln!("{program} {arguments}: {}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Some(output.status.success())
}

#[test]
fn callers_with_a_certificate_are_served() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path();
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -addext basicConstraints=critical,CA:FALSE";
    for name in ["edge", "caller", "stranger"] {
        let arguments =
            format!("{new} -subj /CN={name} -addext subjectAltName=DNS:localhost -keyout {name}.key -out {name}.pem");
        if run("openssl", folder, &arguments) != Some(true) {
            return eprintln!("skipped: openssl makes no certificates here");
        }
    }
    if run("echoscu", folder, "--version") != Some(true) {
        return eprintln!("skipped: echoscu (Debian package dcmtk) is not installed");
    }
    let path = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let out = folder.join("out");
    let mut edge = Edge::listen(
        &folder.join("log"),
        &out,
        &[
            "--min-free-mb",
            "1",
            "--tls-cert",
            &path("edge.pem"),
            "--tls-key",
            &path("edge.key"),
            "--tls-callers",
            &path("caller.pem"),
        ],
    );
    let port = edge.port();
    std::fs::write(folder.join("film"), dicom("1.2.1", 1, 300)).unwrap();
    let call = |tool: &str, who: &str, file: &str| {
        let arguments = format!("+tls {who}.key {who}.pem +cf edge.pem -aec EDGE localhost {port}{file}");
        run(tool, folder, &arguments).unwrap()
    };
    assert!(call("echoscu", "caller", ""));
    assert!(call("storescu", "caller", " film"));
    assert!(!call("echoscu", "stranger", ""));
    assert_eq!(run("echoscu", folder, &format!("-aec EDGE localhost {port}")), Some(false));
    edge.until("the film", |_| ended(&out) == 1);
    nothing_lost_or_doubled(&out, &["1.2.1".into()]);
    assert!(edge.stop().success());
}

#[test]
fn wrong_files_are_usage_errors() {
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name).to_str().unwrap().to_string();
    std::fs::write(path("empty.pem"), "").unwrap();
    for (cert, key) in [("empty.pem", "empty.pem"), ("missing.pem", "empty.pem")] {
        let output = command()
            .args(["listen", "--ae-title", "EDGE", "--port", "0", "--out", &path("out")])
            .args(["--tls-cert", &path(cert), "--tls-key", &path(key)])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(".pem"), "{output:?}");
    }
}
