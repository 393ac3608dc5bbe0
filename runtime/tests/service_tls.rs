//! `listen` over TLS: certificates by openssl, callers and an archive by dcmtk. `cargo test --workspace --features rad-dino-edge/tls
//! --test service_tls`.
#![cfg(feature = "tls")]

mod service;

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use rad_dino_edge::service::Queue;
use service::node::scu;
use service::{Edge, command, dicom, ended, nothing_lost_or_doubled};

fn run(program: &str, folder: &Path, arguments: &str) -> Option<bool> {
    let output = Command::new(program).args(arguments.split(' ')).current_dir(folder).output().ok()?;
    eprintln!("{program} {arguments}: {}{}", output.status, String::from_utf8_lossy(&output.stderr));
    Some(output.status.success())
}

/// A key and a certificate for localhost for each name, as NAME.key and NAME.pem; false where it cannot be done, or where
/// there is no dcmtk.
fn certificates(folder: &Path, names: &[&str]) -> bool {
    let new = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -addext basicConstraints=critical,CA:FALSE";
    for name in names {
        let arguments =
            format!("{new} -subj /CN={name} -addext subjectAltName=DNS:localhost -keyout {name}.key -out {name}.pem");
        if run("openssl", folder, &arguments) != Some(true) {
            eprintln!("skipped: openssl makes no certificates here");
            return false;
        }
    }
    let installed = run("echoscu", folder, "--version") == Some(true);
    if !installed {
        eprintln!("skipped: echoscu (Debian package dcmtk) is not installed");
    }
    installed
}

#[test]
fn callers_with_a_certificate_are_served() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path();
    if !certificates(folder, &["edge", "caller", "stranger"]) {
        return;
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

/// The archive wants a certificate and has one; an archive that another vouches for gets nothing.
#[test]
fn results_are_forwarded_over_tls() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path();
    if !certificates(folder, &["edge", "archive", "stranger"]) {
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    std::fs::create_dir(folder.join("archive")).unwrap();
    let tls = ["-od", "archive", "+xa", "+tls", "archive.key", "archive.pem", "+cf", "edge.pem"];
    let mut archive = Command::new("storescp").args(tls).arg(port.to_string()).current_dir(folder).spawn().unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_string();
    let (out, forward) = (folder.join("out"), format!("localhost:{port}/ARCHIVE"));
    let listen = |trust: &str| {
        let own = ["--min-free-mb", "1", "--retry-seconds", "0.1", "--forward", &forward];
        let (cert, key, trust) = (path("edge.pem"), path("edge.key"), path(trust));
        let tls = ["--forward-tls-trust", &trust, "--forward-tls-cert", &cert, "--forward-tls-key", &key];
        Edge::listen(&folder.join("log"), &out, &[&own[..], &tls].concat())
    };
    let arrived = || std::fs::read_dir(folder.join("archive")).unwrap().count();
    let mut edge = listen("stranger.pem");
    scu(edge.port()).store(&dicom("1.2.1", 1, 64)).unwrap();
    edge.event("not_forwarded");
    assert!(edge.stop().success());
    assert_eq!(arrived(), 0);
    let mut edge = listen("archive.pem");
    edge.until("three results in the archive", |_| {
        arrived() == 3 && Queue::view(&out).unwrap().counts().unwrap().unsent == 0
    });
    assert!(edge.stop().success());
    archive.kill().unwrap();
    archive.wait().unwrap();
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
    for (more, word) in [
        (&["--forward", "h:1/A", "--forward-tls-trust", "missing.pem"][..], "missing.pem"),
        (&["--forward", "h:1/A", "--forward-tls-cert", "a.pem", "--forward-tls-key", "a.key"], "forward_tls_trust"),
    ] {
        let listen = ["listen", "--ae-title", "EDGE", "--port", "0", "--out", &path("out")];
        let output = command().args(listen).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{output:?}");
    }
}
