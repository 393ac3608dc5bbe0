//! What is refused, with which status and word.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::house::{demo, ordinary, within};
use crate::http::{connect, get, head, post, reply, request};

fn refusal(reply: &crate::http::Reply) -> (u16, String) {
    let object = reply.json();
    assert!(!object["error"]["message"].as_str().unwrap().is_empty(), "{object}");
    (reply.status, object["error"]["kind"].as_str().unwrap().to_string())
}

#[test]
fn bad_films_are_named_and_cost_only_themselves() {
    let address = within(|settings| settings.limits.max_side = 1024, None);
    let demo = demo();
    let wide = {
        let mut png = std::io::Cursor::new(vec![]);
        image::GrayImage::new(1025, 2).write_to(&mut png, image::ImageFormat::Png).unwrap();
        png.into_inner()
    };
    for (body, status, kind) in [
        (&b"GIF89a, or so"[..], 415, "unsupported_format"),
        (b"", 422, "malformed"),
        (&demo[..demo.len() / 2], 422, "malformed"),
        (&[&[0; 128][..], b"DICM"].concat(), 422, "malformed"),
        (&wide, 413, "limits"),
    ] {
        let reply = post(address, "/v1/infer", body);
        assert_eq!(refusal(&reply), (status, kind.into()), "{}", reply.text());
        let object = reply.json();
        assert_eq!(object["schema"], "rad-dino-edge/infer/1");
        assert_eq!(object["input"]["path"].as_str().map(str::len), Some(12));
    }
    assert_eq!(post(address, "/v1/infer", &demo).status, 200);
}

#[test]
fn senseless_requests_are_told_why() {
    let address = ordinary();
    let demo = demo();
    for (target, kind) in [
        ("/v1/infer?heatmap_for=no_such_finding", "usage"),
        ("/v1/infer?masks=perhaps", "usage"),
        ("/v1/infer?colour=true", "usage"),
    ] {
        assert_eq!(refusal(&post(address, target, &demo)), (400, kind.into()), "{target}");
    }
    assert!(post(address, "/v1/infer?heatmap_for=x", &demo).text().contains("pneumonia"), "the hint lists the labels");
    assert_eq!(refusal(&get(address, "/v1/worklist?limit=0")), (400, "usage".into()));
    assert_eq!(refusal(&get(address, "/etc/passwd")), (404, "usage".into()));
    let wrong = get(address, "/v1/infer");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let form = request(address, "POST", "/v1/infer", &[("Content-Type", "multipart/form-data; boundary=x")], &demo);
    assert_eq!(refusal(&form), (415, "unsupported_format".into()));
    // what curl calls a body when nobody says what it is
    let curl = [("Content-Type", "application/x-www-form-urlencoded")];
    assert_eq!(request(address, "POST", "/v1/infer", &curl, &demo).status, 200);
}

#[test]
fn large_bodies_are_refused_declared_or_not() {
    let address = within(|settings| settings.limits.max_file_bytes = 100_000, None);
    let large = vec![0; 400_000];
    assert_eq!(refusal(&post(address, "/v1/infer", &large)), (413, "limits".into()));
    let mut stream = connect(address);
    stream.write_all(head(address, "POST", "/v1/infer", &[("Transfer-Encoding", "chunked")]).as_bytes()).unwrap();
    for chunk in large.chunks(50_000) {
        let _ = stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes());
        let _ = stream.write_all(chunk);
        let _ = stream.write_all(b"\r\n");
    }
    let _ = stream.write_all(b"0\r\n\r\n");
    assert_eq!(refusal(&reply(stream)), (413, "limits".into()));
    // who asks before sending is told before sending
    let mut asking = connect(address);
    let headers = [("Expect", "100-continue"), ("Content-Length", "90000000000")];
    asking.write_all(head(address, "POST", "/v1/infer", &headers).as_bytes()).unwrap();
    assert_eq!(refusal(&reply(asking)), (413, "limits".into()));
}

#[test]
fn a_film_in_chunks_is_read() {
    let address = ordinary();
    let mut stream = connect(address);
    stream.write_all(head(address, "POST", "/v1/infer", &[("Transfer-Encoding", "chunked")]).as_bytes()).unwrap();
    for chunk in demo().chunks(77_777) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).unwrap();
        stream.write_all(chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(reply(stream).status, 200);
}

#[test]
fn when_all_places_are_taken_others_are_told_to_come_back() {
    let address = within(|settings| settings.places = 1, None);
    let demo = demo();
    let mut slow = connect(address);
    let length = demo.len().to_string();
    slow.write_all(head(address, "POST", "/v1/infer", &[("Content-Length", &length)]).as_bytes()).unwrap();
    slow.write_all(&demo[..1000]).unwrap();
    wait_for(address, "rad_dino_places_taken", "1");
    let refused = post(address, "/v1/infer", &demo);
    assert_eq!(refusal(&refused), (429, "busy".into()));
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    slow.write_all(&demo[1000..]).unwrap();
    assert_eq!(reply(slow).status, 200);
    assert_eq!(post(address, "/v1/infer", &demo).status, 200);
}

#[test]
fn uploads_share_bounded_memory() {
    // room for two bodies of the largest size
    let address = within(|settings| settings.limits.max_file_bytes = 1_000_000, None);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = connect(address);
            stream.write_all(head(address, "POST", "/v1/infer", &[("Content-Length", "999000")]).as_bytes()).unwrap();
            stream
        })
        .collect();
    wait_for(address, "rad_dino_places_taken", "2");
    let refused = post(address, "/v1/infer", &demo());
    assert_eq!(refusal(&refused), (503, "busy".into()));
    assert!(refused.header("retry-after").is_some());
    drop(held);
    wait_for(address, "rad_dino_places_taken", "0");
    assert_eq!(post(address, "/v1/infer", &demo()).status, 200);
}

#[test]
fn slow_clients_lose_their_connection() {
    let address = within(
        |settings| {
            settings.header_time = Duration::from_millis(300);
            settings.body_time = Duration::from_millis(300);
        },
        None,
    );
    let mut idle = connect(address);
    let mut slow = connect(address);
    slow.write_all(b"POST /v1/infer HTTP/1.1\r\nHost: localhost\r\nX-A").unwrap();
    for stream in [&mut idle, &mut slow] {
        let mut rest = vec![];
        // closed, with or without a word
        let _ = std::io::Read::read_to_end(stream, &mut rest);
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    let mut body = connect(address);
    body.write_all(head(address, "POST", "/v1/infer", &[("Content-Length", "5000")]).as_bytes()).unwrap();
    body.write_all(b"\x89PNG").unwrap();
    assert_eq!(refusal(&reply(body)), (408, "timeout".into()));
    assert_eq!(post(address, "/v1/infer", &demo()).status, 200);
}

#[test]
fn many_idle_connections_do_not_lock_others_out() {
    let change = |settings: &mut rad_dino_edge::service::http::Settings| {
        settings.connections = 2;
        settings.header_time = Duration::from_millis(300);
    };
    let address = within(change, None);
    let _idle: Vec<_> = (0..5).map(|_| connect(address)).collect();
    assert_eq!(get(address, "/healthz").status, 200);
}

/// Until a metric has a value; the clients' patience ends it otherwise.
fn wait_for(address: std::net::SocketAddr, metric: &str, value: &str) {
    for _ in 0..2000 {
        let text = get(address, "/metrics").text().to_string();
        if text.lines().any(|line| line.split_once(' ') == Some((metric, value))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{metric} never became {value}");
}

#[test]
fn errors_hold_nothing_of_the_client() {
    let address = ordinary();
    let secret = "DOE^JANE";
    let dicom = [&[0; 128][..], b"DICM", secret.as_bytes()].concat();
    for reply in [
        post(address, "/v1/infer", &dicom),
        request(address, "POST", "/v1/infer", &[("Content-Type", "text/DOE^JANE")], b"x"),
        get(address, "/films/DOE%5EJANE.dcm"),
    ] {
        let object: Value = reply.json();
        assert!(reply.status >= 400 && !object.to_string().contains("JANE"), "{object}");
    }
}
