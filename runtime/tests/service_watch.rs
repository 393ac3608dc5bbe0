//! `watch` end to end: the binary, a folder, made-up films.
#![cfg(feature = "service")]

mod service;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rad_dino_edge::service::queue::State;
use service::{Edge, audit, command, ended, entries, json, names, nothing_lost_or_doubled, png};

fn watch(dir: &Path, out: &Path, log: &Path, more: &[&str]) -> Edge {
    let mut arguments = vec!["watch", dir.to_str().unwrap(), "--out", out.to_str().unwrap()];
    if !more.contains(&"--min-free-mb") {
        arguments.extend(["--min-free-mb", "1"]);
    }
    arguments.extend(more);
    Edge::start(log, &arguments)
}

/// Found at the start, moved in, written slowly, in a folder that is new, replaced: each is read once, when it is whole.
#[test]
fn films_are_read_once_when_they_are_whole() {
    let here = tempfile::tempdir().unwrap();
    let (dir, out, log) = (here.path().join("in"), here.path().join("out"), here.path().join("log"));
    fs::create_dir_all(dir.join("study")).unwrap();
    fs::write(dir.join("first.png"), png(1)).unwrap();
    fs::write(dir.join("study/second.PNG"), png(2)).unwrap();
    for other in ["notes.txt", ".hidden.png", "half.png.part"] {
        fs::write(dir.join(other), b"nothing to read").unwrap();
    }
    let before = fs::metadata(dir.join("first.png")).unwrap();
    let mut edge = watch(&dir, &out, &log, &["--settle-seconds", "0", "--rescan-seconds", "3600"]);
    edge.event("watching");

    fs::write(here.path().join("third.png"), png(3)).unwrap();
    fs::rename(here.path().join("third.png"), dir.join("third.png")).unwrap();
    let mut slow = OpenOptions::new().create_new(true).write(true).open(dir.join("fourth.png")).unwrap();
    let bytes = png(4);
    for part in bytes.chunks(bytes.len() / 3) {
        slow.write_all(part).unwrap();
        slow.sync_all().unwrap();
        std::thread::sleep(Duration::from_millis(60));
    }
    assert!(!out.join("fourth.json").exists());
    drop(slow);
    fs::create_dir(dir.join("new")).unwrap();
    fs::write(dir.join("new/fifth.png"), png(5)).unwrap();
    edge.until("five films", |_| ended(&out) == 5);

    let expected: Vec<String> = ["first", "second", "third", "fourth", "fifth"].map(String::from).into();
    nothing_lost_or_doubled(&out, &expected);
    let answer = json(&out.join("second.json"));
    assert_eq!(answer["input"]["path"], "study/second.PNG");
    assert!(answer["findings"].as_array().is_some_and(|findings| !findings.is_empty()), "{answer}");
    assert!(answer["report"]["text"].is_string() || !answer["warnings"].as_array().unwrap().is_empty(), "{answer}");
    let after = fs::metadata(dir.join("first.png")).unwrap();
    assert_eq!((before.len(), before.modified().unwrap()), (after.len(), after.modified().unwrap()));

    // Replaced by other pixels: read again, under the same name.
    let was = json(&out.join("first.json"));
    fs::write(dir.join("first.png"), png(6)).unwrap();
    edge.until("the replaced film", |_| ended(&out) == 6);
    assert_ne!(json(&out.join("first.json"))["input"]["sha256"], was["input"]["sha256"]);
    assert!(edge.stop().success());
    assert!(!edge.log().contains("first"), "a file's name is in the log:\n{}", edge.log());

    // Nothing is read again after a restart.
    let mut edge = watch(&dir, &out, &log, &["--settle-seconds", "0"]);
    assert_eq!(edge.event("watching")["found"], 0);
    fs::write(dir.join("seventh.png"), png(7)).unwrap();
    edge.until("the seventh film", |_| ended(&out) == 7);
    assert!(edge.stop().success());
    assert_eq!(audit(&out).len(), 7);
}

/// A refused scan leaves a failure object and a dead letter, and costs only itself; the exit code tells.
#[test]
fn once_reads_what_is_there_and_tells_by_its_exit_code() {
    let here = tempfile::tempdir().unwrap();
    let (dir, out) = (here.path().join("in"), here.path().join("out"));
    fs::create_dir(&dir).unwrap();
    let film = png(1);
    fs::write(dir.join("good.png"), &film).unwrap();
    fs::write(dir.join("cut.png"), &film[..film.len() / 2]).unwrap();
    fs::write(dir.join("IM0001"), b"no picture at all").unwrap();
    fs::write(dir.join("large.png"), vec![0; 2_000_001]).unwrap();
    let run = |more: &[&str]| {
        let mut command = command();
        command.args([
            "watch",
            dir.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--once",
            "--settle-seconds",
            "0",
        ]);
        command.args(["--max-file-mb", "2", "--min-free-mb", "1"]).args(more).output().unwrap()
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty());
    let states: Vec<_> = entries(&out).into_iter().map(|entry| (entry.name, entry.state, entry.attempts)).collect();
    let expected = [("IM0001", State::Dead, 1), ("cut", State::Dead, 1), ("good", State::Done, 1)];
    assert_eq!(states, expected.map(|(name, state, attempts)| (name.to_string(), state, attempts)));
    for (name, kind) in [("IM0001", "unsupported_format"), ("cut", "malformed"), ("large", "limits")] {
        let failure = json(&out.join(format!("{name}.json")));
        assert_eq!(failure["error"]["kind"], kind, "{failure}");
        assert_eq!(failure["schema"], "rad-dino-edge/infer/1");
    }
    assert!(!names(&out.join("spool")).iter().any(|name| name.contains("large")));
    // All of it is known by now, but for the one that was not taken in.
    assert_eq!(run(&[]).status.code(), Some(4));
    assert_eq!(audit(&out).len(), 3);
    fs::remove_file(dir.join("large.png")).unwrap();
    assert_eq!(run(&[]).status.code(), Some(0));
    let again = run(&["--retry-dead"]);
    assert_eq!(again.status.code(), Some(4), "{again:?}");
    assert_eq!(entries(&out).len(), 3);
}

#[test]
fn the_configuration_file_yields_to_the_environment_and_that_to_options() {
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name);
    fs::create_dir(path("in")).unwrap();
    fs::write(path("in/film.png"), png(1)).unwrap();
    let config = format!(
        "out = {:?}\nmax_side = 4\nmin_free_mb = 1\n[watch]\ndir = {:?}\nsettle_seconds = 0\n",
        path("out"),
        path("in")
    );
    fs::write(path("edge.toml"), config).unwrap();
    let config = path("edge.toml");
    let run = |env: &[(&str, &str)], more: &[&str]| {
        let mut command = command();
        command.args(["watch", "--once", "--config", config.to_str().unwrap()]).args(more);
        command.envs(env.iter().copied()).output().unwrap()
    };
    assert_eq!(run(&[], &[]).status.code(), Some(4));
    assert_eq!(json(&path("out/film.json"))["error"]["kind"], "limits");
    let second = path("second");
    let environment = [("RDE_OUT", second.to_str().unwrap()), ("RDE_MAX_SIDE", "4096")];
    assert_eq!(run(&environment, &[]).status.code(), Some(0));
    assert!(json(&second.join("film.json"))["error"].is_null());
    let third = path("third");
    assert_eq!(run(&environment, &["--out", third.to_str().unwrap(), "--max-side", "5"]).status.code(), Some(4));
    assert_eq!(json(&third.join("film.json"))["error"]["kind"], "limits");
    fs::write(&config, "max_sides = 4\n").unwrap();
    let wrong = run(&[], &[]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("max_sides"), "{wrong:?}");
}

#[test]
fn folders_that_cannot_be_watched_are_usage_errors() {
    let here = tempfile::tempdir().unwrap();
    let here = here.path().to_str().unwrap();
    let run = |arguments: &[&str]| command().arg("watch").args(arguments).output().unwrap();
    let missing = format!("{here}/missing");
    for (arguments, word) in [
        (&[here, "--out", here][..], "results are written there"),
        (&[missing.as_str(), "--out", here], "No such file"),
        (&[here], "--out"),
        (&["--out", here], "folder to watch"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{output:?}");
    }
}

/// Without room nothing is taken in; with room again, everything is.
#[test]
fn a_full_queue_or_disk_pauses() {
    let here = tempfile::tempdir().unwrap();
    let (dir, out, log) = (here.path().join("in"), here.path().join("out"), here.path().join("log"));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("film.png"), png(1)).unwrap();
    for full in [["--min-free-mb", "1000000000000"], ["--max-queue", "0"]] {
        let mut edge = watch(&dir, &out, &log, &[&["--settle-seconds", "0"], &full[..]].concat());
        edge.event("paused");
        fs::write(dir.join("other.png"), png(2)).unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(edge.stop().success());
        assert!(entries(&out).is_empty());
    }
    let mut edge = watch(&dir, &out, &log, &["--settle-seconds", "0"]);
    edge.until("both films", |_| ended(&out) == 2);
    nothing_lost_or_doubled(&out, &["film".into(), "other".into()]);
}
