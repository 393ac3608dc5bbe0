//! The durable queue as a library: idempotence, recovery, order, dead letters, retention, the audit.
#![cfg(feature = "service")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use rad_dino_edge::ErrorKind;
use rad_dino_edge::service::Queue;
use rad_dino_edge::service::names::Origin;
use rad_dino_edge::service::queue::{Accepted, Ending, Job, Record, State};
use serde_json::Value;

fn hand_in(queue: &Queue, uid: &str, bytes: &[u8]) -> Accepted {
    let mut incoming = queue.incoming().unwrap();
    incoming.write(bytes).unwrap();
    queue.accept(incoming.seal().unwrap(), &Origin::instance(uid).unwrap(), "").unwrap()
}

fn hand_in_file(queue: &Queue, path: &str, bytes: &[u8]) -> Accepted {
    let mut incoming = queue.incoming().unwrap();
    incoming.write(bytes).unwrap();
    let sealed = incoming.seal().unwrap();
    let origin = Origin::file(Path::new(path), &sealed.sha256);
    queue.accept(sealed, &origin, &format!("{}", bytes.len())).unwrap()
}

fn ending(state: State, forward: &[&str]) -> Ending {
    let record = Record {
        input_sha256: "i".into(),
        model_sha256: "m".into(),
        result_sha256: "r".into(),
        dicom_sha256: Default::default(),
    };
    let error = (state == State::Dead).then(|| "broken".to_string());
    Ending { state, error, record, forward: forward.iter().map(ToString::to_string).collect() }
}

fn take(queue: &Queue) -> Job {
    queue.take().unwrap().expect("something waits")
}

fn audit(out: &Path) -> Vec<i64> {
    let text = fs::read_to_string(out.join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["seq"].as_i64().unwrap()).collect()
}

#[test]
fn an_instance_is_taken_in_once() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    let Accepted::New(id) = hand_in(&queue, "1.2.3", b"film") else { panic!() };
    assert_eq!(hand_in(&queue, "1.2.3", b"film"), Accepted::Known(id, State::Queued));
    assert_eq!(hand_in(&queue, "1.2.3", b"other"), Accepted::Other(id, State::Queued));
    assert_eq!(fs::read(out.path().join("spool/1.2.3.dcm")).unwrap(), b"film");
    let job = take(&queue);
    assert_eq!((job.id, job.name.as_str(), job.attempts, job.crashes), (id, "1.2.3", 1, 0));
    assert!(queue.take().unwrap().is_none());
    queue.end(&job, &ending(State::Done, &[])).unwrap();
    assert_eq!(hand_in(&queue, "1.2.3", b"film"), Accepted::Known(id, State::Done));
    assert!(queue.take().unwrap().is_none());
    assert_eq!(audit(out.path()), [1]);
    assert_eq!(fs::read_dir(out.path().join("spool")).unwrap().count(), 1);
}

#[test]
fn a_dead_letter_may_come_again_with_other_bytes() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    hand_in(&queue, "1.2", b"broken");
    let job = take(&queue);
    queue.end(&job, &ending(State::Dead, &[])).unwrap();
    assert_eq!(hand_in(&queue, "1.2", b"broken"), Accepted::Known(job.id, State::Dead));
    assert!(matches!(hand_in(&queue, "1.2", b"mended"), Accepted::New(id) if id > job.id));
    assert_eq!(fs::read(take(&queue).path).unwrap(), b"mended");
}

#[test]
fn dead_letters_get_another_chance_when_told() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    hand_in(&queue, "1.2", b"x");
    let job = take(&queue);
    queue.end(&job, &ending(State::Dead, &[])).unwrap();
    assert_eq!(queue.revive().unwrap(), 1);
    let again = take(&queue);
    assert_eq!((again.id, again.attempts), (job.id, 1));
}

#[test]
fn a_killed_process_finds_its_place_again() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    hand_in(&queue, "1.1", b"running when killed");
    hand_in(&queue, "1.2", b"waiting");
    let running = take(&queue);
    drop(queue);
    // Renamed, but not in the queue yet; and three files that nobody will finish.
    fs::write(out.path().join("spool/1.3.dcm"), b"orphan").unwrap();
    fs::write(out.path().join("spool/.incoming.1.2.tmp"), b"half").unwrap();
    fs::write(out.path().join(".1.1.json.1.2.tmp"), b"half").unwrap();
    fs::write(out.path().join("spool/README"), b"not the queue's").unwrap();

    let queue = Queue::open(out.path()).unwrap();
    assert_eq!(queue.counts().unwrap().queued, 3);
    // What was cut off comes last, because it may be what ended the process; and the try does not count.
    let order: Vec<_> = (0..3).map(|_| take(&queue)).map(|job| (job.name, job.attempts, job.crashes)).collect();
    assert_eq!(order, [("1.2".into(), 1, 0), ("1.3".into(), 1, 0), (running.name, 1, 1)]);
    assert!(!out.path().join("spool/.incoming.1.2.tmp").exists() && !out.path().join(".1.1.json.1.2.tmp").exists());
    assert!(out.path().join("spool/README").exists());
    assert_eq!(hand_in(&queue, "1.3", b"orphan"), Accepted::Known(3, State::Running));
}

#[test]
fn an_unfinished_file_leaves_nothing() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    let mut incoming = queue.incoming().unwrap();
    incoming.write(&[7; 100_000]).unwrap();
    assert_eq!(incoming.bytes(), 100_000);
    drop(incoming);
    let mut incoming = queue.incoming().unwrap();
    incoming.write(b"x").unwrap();
    drop(incoming.seal().unwrap());
    assert_eq!(fs::read_dir(out.path().join("spool")).unwrap().count(), 0);
}

#[test]
fn the_audit_has_each_line_once_whatever_was_written_last() {
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("audit.jsonl");
    let finish = |queue: &Queue, uid: &str| {
        hand_in(queue, uid, uid.as_bytes());
        let job = take(queue);
        queue.end(&job, &ending(State::Done, &[])).unwrap();
    };
    let queue = Queue::open(out.path()).unwrap();
    finish(&queue, "1.1");
    finish(&queue, "1.2");
    drop(queue);
    let whole = fs::read(&path).unwrap();
    let first = whole.iter().position(|&b| b == b'\n').unwrap() + 1;
    // Killed after the commit: before the line, within it, and behind it.
    for length in [first, first + 10, whole.len() - 1, whole.len()] {
        fs::write(&path, &whole[..length]).unwrap();
        drop(Queue::open(out.path()).unwrap());
        assert_eq!(fs::read(&path).unwrap(), whole, "{length}");
    }
    // Rotated away: numbers go on.
    fs::remove_file(&path).unwrap();
    let queue = Queue::open(out.path()).unwrap();
    finish(&queue, "1.3");
    assert_eq!(*audit(out.path()).last().unwrap(), 3);
}

#[cfg(unix)]
#[test]
fn films_are_for_this_user_alone() {
    use std::os::unix::fs::PermissionsExt;
    let here = tempfile::tempdir().unwrap();
    let out = here.path().join("a/out");
    drop(Queue::open(&out).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&out) & 0o007, mode(&out.join("spool"))), (0, 0o700));
}

#[test]
fn one_owner_many_lookers() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    hand_in(&queue, "1.2", b"x");
    let second = Queue::open(out.path()).unwrap_err();
    assert_eq!(second.kind(), ErrorKind::Usage);
    assert!(second.message().contains("owns"), "{second}");
    let view = Queue::view(out.path()).unwrap();
    let entries = view.list(10).unwrap();
    assert_eq!((entries.len(), entries[0].name.as_str(), entries[0].state), (1, "1.2", State::Queued));
    assert!(entries[0].received > 1_700_000_000_000 && entries[0].finished.is_none());
    assert!(view.take().is_err());
    assert!(Queue::view(&out.path().join("nowhere")).is_err());
}

#[test]
fn retries_wait_and_count() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    hand_in(&queue, "1.2", b"x");
    let job = take(&queue);
    queue.postpone(&job, Duration::from_secs(3600), "disk full").unwrap();
    assert!(queue.take().unwrap().is_none());
    let entry = queue.list(1).unwrap().remove(0);
    assert_eq!((entry.state, entry.error.as_deref()), (State::Failed, Some("disk full")));
    assert_eq!(queue.waiting().unwrap(), 1);
    queue.postpone(&job, Duration::ZERO, "disk full").unwrap();
    assert_eq!(take(&queue).attempts, 2);
}

#[test]
fn watched_files_have_names_of_their_own_and_versions_in_order() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    hand_in_file(&queue, "a.png", b"one");
    hand_in_file(&queue, "a.jpg", b"two");
    hand_in_file(&queue, "sub/a.png", b"three");
    hand_in_file(&queue, "sub_a.png", b"four");
    hand_in_file(&queue, "a.png", b"one, later");
    let list = queue.list(9).unwrap();
    let names: Vec<_> = list.iter().rev().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a", "a.jpg", "sub_a.png", "sub_a", "a"]);
    assert!(queue.knows("a.jpg", "3").unwrap() && !queue.knows("a.jpg", "4").unwrap());
    let first = take(&queue);
    let others: Vec<_> = (0..3).map(|_| take(&queue).name).collect();
    assert_eq!(others, ["a.jpg", "sub_a.png", "sub_a"]);
    // The later version of `a` waits for the earlier one, so that its results are those that stay.
    assert!(queue.take().unwrap().is_none());
    queue.end(&first, &ending(State::Done, &[])).unwrap();
    let second = take(&queue);
    assert_eq!(fs::read(&second.path).unwrap(), b"one, later");
    queue.end(&second, &ending(State::Done, &[])).unwrap();
    // Back to the earlier bytes: the results must follow.
    assert!(matches!(hand_in_file(&queue, "a.png", b"one"), Accepted::New(_)));
    assert_eq!(take(&queue).name, "a");
    // Also while both still wait.
    hand_in_file(&queue, "b.png", b"one");
    hand_in_file(&queue, "b.png", b"two!");
    hand_in_file(&queue, "b.png", b"one");
    for bytes in [&b"two!"[..], b"one"] {
        let job = take(&queue);
        assert_eq!((job.name.as_str(), fs::read(&job.path).unwrap().as_slice()), ("b", bytes));
        queue.end(&job, &ending(State::Done, &[])).unwrap();
    }
}

#[test]
fn results_are_sent_on_with_states_of_their_own() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    hand_in(&queue, "1.2", b"x");
    let job = take(&queue);
    queue.end(&job, &ending(State::Done, &["1.2.sr.dcm", "1.2.sc.dcm"])).unwrap();
    let parcels = queue.take_parcels(9).unwrap();
    assert_eq!(parcels.len(), 2);
    assert_eq!(parcels[0].path, out.path().join("1.2.sr.dcm"));
    queue.delivered(&parcels[0]).unwrap();
    queue.undelivered(&parcels[1], Some(Duration::ZERO), true, "A700").unwrap();
    let again = queue.take_parcels(9).unwrap();
    assert_eq!((again.len(), again[0].attempts, again[0].refusals), (1, 2, 1));
    drop(queue);
    // It was on its way when the process was killed.
    let queue = Queue::open(out.path()).unwrap();
    let again = queue.take_parcels(9).unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!(queue.counts().unwrap().unsent, 1);
    queue.undelivered(&again[0], None, true, "A700").unwrap();
    let counts = queue.counts().unwrap();
    assert_eq!((counts.unsent, counts.undeliverable, counts.done), (0, 1, 1));
}

#[test]
fn retention_removes_what_ended_and_nothing_else() {
    let out = tempfile::tempdir().unwrap();
    let queue = Queue::open(out.path()).unwrap();
    let there = |name: &str| out.path().join(name).exists();
    for (uid, forward) in [("1.1", &[][..]), ("1.2", &["1.2.sr.dcm"])] {
        hand_in(&queue, uid, uid.as_bytes());
        let job = take(&queue);
        fs::write(out.path().join(format!("{uid}.json")), "{}").unwrap();
        fs::write(out.path().join(format!("{uid}.sr.dcm")), "sr").unwrap();
        queue.end(&job, &ending(State::Done, forward)).unwrap();
    }
    hand_in_file(&queue, "film.png", b"watched");
    let job = take(&queue);
    fs::write(out.path().join("film.json"), "{}").unwrap();
    queue.end(&job, &ending(State::Done, &[])).unwrap();
    hand_in(&queue, "1.3", b"waits");
    assert_eq!(queue.purge(0).unwrap(), 0);
    assert_eq!(queue.purge(i64::MAX).unwrap(), 2);
    assert!(!there("1.1.json") && !there("1.1.sr.dcm") && !there("spool/1.1.dcm") && !there("film.json"));
    // Not sent on yet; not ended yet.
    assert!(there("1.2.json") && there("1.2.sr.dcm") && there("spool/1.2.dcm") && there("spool/1.3.dcm"));
    // An instance may come again; a watched file that still lies there is not read again.
    assert!(matches!(hand_in(&queue, "1.1", b"1.1"), Accepted::New(_)));
    assert_eq!(hand_in_file(&queue, "film.png", b"watched"), Accepted::Known(job.id, State::Done));
    queue.forget(|source| source != "film.png").unwrap();
    assert!(queue.knows("film.png", "7").unwrap());
    queue.forget(|source| source == "film.png").unwrap();
    assert!(!queue.knows("film.png", "7").unwrap());
    let parcel = queue.take_parcels(1).unwrap().remove(0);
    queue.delivered(&parcel).unwrap();
    assert_eq!(queue.purge(i64::MAX).unwrap(), 1);
    assert!(!there("1.2.json") && !there("spool/1.2.dcm") && audit(out.path()).len() == 3);
}
