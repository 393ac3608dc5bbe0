//! Health, metrics, the work list, the log, and the end.

use std::io::Write;

use rad_dino_edge::service::http::Entry;
use rad_dino_edge::{Error, ErrorKind};

use crate::house::{Program, demo, edge, ordinary, within};
use crate::http::{connect, get, head, post, reply, request};

#[test]
fn health_and_metrics_tell_what_happened() {
    let address = within(|_| (), None);
    let before = get(address, "/healthz").json();
    assert_eq!(before["status"], "ok");
    assert!(before["last_reading"].is_null() && before["findings"].as_array().is_some_and(|labels| labels.len() > 3));
    assert_eq!(post(address, "/v1/infer", &demo()).status, 200);
    assert_eq!(post(address, "/v1/infer", b"GIF89a").status, 415);
    get(address, "/no/such/path");
    let after = get(address, "/healthz").json();
    assert!(after["last_reading"].as_str().unwrap() >= after["started"].as_str().unwrap());

    let reply = get(address, "/metrics");
    assert_eq!(reply.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = reply.text();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name} is missing in {text}")).parse().unwrap()
    };
    assert_eq!(value("rad_dino_http_requests_total{path=\"/v1/infer\",status=\"200\"}"), 1.0);
    assert_eq!(value("rad_dino_http_requests_total{path=\"/v1/infer\",status=\"415\"}"), 1.0);
    assert_eq!(value("rad_dino_http_requests_total{path=\"other\",status=\"404\"}"), 1.0);
    assert_eq!(value("rad_dino_infer_request_duration_seconds_count"), 1.0);
    assert_eq!(value("rad_dino_infer_request_duration_seconds_bucket{le=\"+Inf\"}"), 1.0);
    assert_eq!(value("rad_dino_read_bytes_total"), demo().len() as f64);
    assert_eq!(value("rad_dino_queue_depth"), 0.0);
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("rad_dino_last_reading_timestamp_seconds") >= value("process_start_time_seconds"));
    // every sample belongs to a family that was announced
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(
            text.contains(&format!("# TYPE {name} ")) || text.contains(&format!("# TYPE {family} histogram")),
            "{line}"
        );
    }
}

#[test]
fn the_work_list_is_the_queues() {
    let none = get(ordinary(), "/v1/worklist").json();
    assert_eq!(none, serde_json::json!({"queue": false, "entries": []}));
    let entry = |i: usize| Entry {
        name: format!("1.2.{i}"),
        state: "done".into(),
        received: "2026-01-01T00:00:00.000Z".into(),
        finished: None,
        attempts: 1,
        error: None,
    };
    let address = within(|_| (), Some(Box::new(move |limit: usize| Ok((0..limit.min(500)).map(entry).collect()))));
    let list = get(address, "/v1/worklist?limit=3").json();
    assert_eq!((list["queue"].as_bool(), list["entries"].as_array().map(Vec::len)), (Some(true), Some(3)));
    assert_eq!(list["entries"][2]["name"], "1.2.2");
    assert_eq!(get(address, "/v1/worklist").json()["entries"].as_array().map(Vec::len), Some(100));
    assert_eq!(get(address, "/healthz").json()["worklist"], true);
    let broken = |_: usize| Err(Error::new(ErrorKind::Io, "the queue's disk is gone"));
    let reply = get(within(|_| (), Some(Box::new(broken))), "/v1/worklist");
    assert_eq!((reply.status, reply.json()["error"]["kind"].as_str()), (500, Some("io")));
}

#[test]
fn the_signal_to_stop_lets_a_film_finish() {
    let mut service = Program::start(&[]);
    let demo = demo();
    let length = demo.len().to_string();
    let mut stream = connect(service.address);
    stream.write_all(head(service.address, "POST", "/v1/infer", &[("Content-Length", &length)]).as_bytes()).unwrap();
    stream.write_all(&demo[..5000]).unwrap();
    while !get(service.address, "/metrics").text().contains("rad_dino_places_taken 1") {
        std::thread::yield_now();
    }
    service.terminate();
    // new connections are no longer taken once the signal has arrived
    while std::net::TcpStream::connect(service.address).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(&demo[5000..]).unwrap();
    assert_eq!(reply(stream).status, 200);
    assert_eq!(service.child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_log_has_one_line_a_request_and_no_names() {
    let mut service = Program::start(&[]);
    post(service.address, "/v1/infer?heatmap_for=JANE", &demo());
    request(service.address, "JANE", "/films/DOE-JANE.png", &[], &[]);
    service.terminate();
    service.child.wait().unwrap();
    let log: Vec<_> = service.log.iter().collect();
    assert_eq!(log.len(), 2, "{log:?}");
    let said = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&line["level"], &line["event"]), (&"info".into(), &"request".into()));
        (line["method"].clone(), line["path"].clone(), line["status"].clone())
    };
    assert_eq!(said(&log[0]), ("POST".into(), "/v1/infer".into(), 400.into()));
    assert_eq!(said(&log[1]), ("other".into(), "other".into(), 404.into()));
    assert!(!log.concat().contains("JANE"));
}

#[test]
fn the_queue_of_watch_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (films, out) = (folder.path().join("films"), folder.path().join("out"));
    std::fs::create_dir(&films).unwrap();
    std::fs::write(films.join("first.png"), demo()).unwrap();
    std::fs::write(films.join("second.png"), b"no film").unwrap();
    let mut watch = edge();
    watch.arg("watch").arg(&films).arg("--out").arg(&out).args(["--once", "--settle-seconds", "0", "--quiet"]);
    assert_eq!(watch.status().unwrap().code(), Some(1));

    let config = folder.path().join("edge.toml");
    std::fs::write(&config, format!("threads = 1\n[serve]\nqueue = {:?}\n", out.to_str().unwrap())).unwrap();
    let service = Program::start(&["--config", config.to_str().unwrap()]);
    let list = get(service.address, "/v1/worklist").json();
    let mut states: Vec<_> =
        list["entries"].as_array().unwrap().iter().map(|e| (e["name"].clone(), e["state"].clone())).collect();
    states.sort_by_key(|(name, _)| name.to_string());
    assert_eq!(states, [("first".into(), "done".into()), ("second".into(), "dead".into())]);
    assert!(
        list["entries"].as_array().unwrap().iter().all(|e| e["received"].as_str().is_some_and(|t| t.ends_with('Z')))
    );
    let metrics = get(service.address, "/metrics");
    assert!(metrics.text().contains("rad_dino_worklist_objects{state=\"dead\"} 1\n"), "{}", metrics.text());
    assert_eq!(get(service.address, "/healthz").json()["engine"]["threads"], 1);
    let missing = edge().args(["serve", "--listen", "127.0.0.1:0", "--queue"]).arg(folder.path()).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}
