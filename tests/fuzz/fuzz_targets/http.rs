//! `serve`: bytes on the wire, or a request whose query, headers and body are any bytes. It answers, and never with a
//! defect of ours.
#![no_main]

use std::net::SocketAddr;
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rad_dino_edge::service::http::{Settings, serve};
use rad_dino_fuzz::service::{reader, talk};
use rad_dino_fuzz::{LIMITS, caught_panics_are_fine};

#[derive(Arbitrary, Debug)]
enum Spoken {
    Raw(Vec<u8>),
    Request { method: u8, path: u8, query: String, headers: Vec<(u8, Vec<u8>)>, body: Body },
}

#[derive(Arbitrary, Debug)]
enum Body {
    None,
    Whole(Vec<u8>),
    Declared(u64, Vec<u8>),
    Chunks(Vec<Vec<u8>>),
}

const METHODS: [&str; 6] = ["POST", "GET", "HEAD", "OPTIONS", "PUT", "BREW"];
const PATHS: [&str; 8] =
    ["/v1/infer", "/", "/healthz", "/metrics", "/v1/worklist", "/openapi.json", "/page.js", "/../../etc/passwd"];
const HEADERS: [&str; 8] =
    ["Content-Type", "Origin", "Authorization", "Expect", "Accept", "Transfer-Encoding", "Content-Length", "X-Any"];

fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(|| {
        let mut settings = Settings::new("127.0.0.1:0".parse().expect("an address"));
        settings.log = false;
        settings.limits = LIMITS;
        settings.header_time = Duration::from_millis(500);
        settings.body_time = Duration::from_millis(500);
        let (send, receive) = mpsc::channel();
        std::thread::spawn(move || serve(reader(), settings, None, |address| send.send(address).expect("heard")));
        receive.recv().expect("it listens")
    })
}

fn clean(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0))
}

/// A request that a client could send, and whether it says all that it announces.
fn request(address: SocketAddr, spoken: &Spoken) -> (Vec<u8>, bool) {
    let Spoken::Request { method, path, query, headers, body } = spoken else { return (vec![], false) };
    let (method, path) = (METHODS[usize::from(*method) % METHODS.len()], PATHS[usize::from(*path) % PATHS.len()]);
    let query: String =
        query.chars().map(|c| if c.is_ascii_graphic() && c != '#' { c } else { '%' }).take(2_000).collect();
    let mut bytes = format!("{method} {path}?{query} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n").into_bytes();
    let mut honest = true;
    for (name, value) in headers.iter().take(60) {
        let name = HEADERS[usize::from(*name) % HEADERS.len()];
        honest &= !matches!(name, "Transfer-Encoding" | "Content-Length" | "Expect");
        bytes.extend(format!("{name}: ").bytes());
        bytes.extend(clean(value));
        bytes.extend(b"\r\n");
    }
    match body {
        Body::None => bytes.extend(b"\r\n"),
        Body::Whole(body) => {
            bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
            bytes.extend(body);
        }
        Body::Declared(length, body) => {
            honest = false;
            bytes.extend(format!("Content-Length: {length}\r\n\r\n").bytes());
            bytes.extend(body);
        }
        Body::Chunks(chunks) => {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        }
    }
    (bytes, honest)
}

fuzz_target!(|spoken: Spoken| {
    caught_panics_are_fine();
    let address = address();
    let (bytes, honest) = match &spoken {
        Spoken::Raw(bytes) => (bytes.clone(), false),
        request => self::request(address, request),
    };
    let heard = talk(address, &bytes, !honest);
    assert!(!heard.starts_with(b"HTTP/1.1 500"), "{}", String::from_utf8_lossy(&heard));
    if honest {
        assert!(heard.starts_with(b"HTTP/1.1 "), "no answer to {}", String::from_utf8_lossy(&bytes));
    }
});
