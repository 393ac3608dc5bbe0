//! Who is let in.

use std::io::Write;

use crate::house::{Program, demo, edge, ordinary, within};
use crate::http::{get, post, request};

const TOKEN: &str = "0123456789abcdef-token";

#[test]
fn other_addresses_need_a_token() {
    for arguments in [&["--listen", "0.0.0.0:0"][..], &["--listen", "[::]:0"]] {
        let refused = edge().arg("serve").args(arguments).output().unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("--token-file"), "{said}");
    }
    let short = edge().args(["serve", "--listen", "0.0.0.0:0"]).env("RDE_TOKEN", "short").output().unwrap();
    assert_eq!(short.status.code(), Some(2));
    let missing = edge().args(["serve", "--token-file", "no/such/file"]).output().unwrap();
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn the_token_opens_and_nothing_else_does() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{TOKEN}").unwrap();
    let mut command = edge();
    command.args(["serve", "--listen", "0.0.0.0:0", "--token-file"]).arg(file.path());
    let by_file = Program::spawn(command);
    let mut command = edge();
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("RDE_TOKEN", TOKEN);
    let by_variable = Program::spawn(command);
    for service in [&by_file, &by_variable] {
        let address = service.address;
        let with = |value: &str| {
            request(address, "POST", "/v1/infer", &[("Authorization", &format!("Bearer {value}"))], &demo())
        };
        assert_eq!(with(TOKEN).status, 200);
        for wrong in ["", "0123456789abcdef-tokeN", "0123456789abcdef-token0"] {
            let refused = with(wrong);
            assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")), "{wrong}");
            assert!(!refused.text().contains(TOKEN));
        }
        assert_eq!(get(address, "/metrics").status, 401);
        assert_eq!(get(address, "/v1/worklist").status, 401);
        assert_eq!(post(address, "/v1/infer", &demo()).status, 401);
        assert_eq!(get(address, "/").status, 200);
        let health = get(address, "/healthz");
        assert_eq!((health.status, health.json()["token"].clone()), (200, true.into()));
    }
}

#[test]
fn rebound_names_and_foreign_pages_are_refused() {
    let address = within(|settings| settings.hosts.push("films.example".into()), None);
    let asked = |host: &str, origin: Option<&str>| {
        let mut headers = vec![("Host", host)];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        request(address, "POST", "/v1/infer", &headers, &demo())
    };
    assert_eq!(asked("localhost:1234", None).status, 200);
    assert_eq!(asked("films.example", Some("https://films.example")).status, 200);
    for (host, origin, status) in [
        ("evil.example", None, 421),
        ("evil.example", Some("http://evil.example"), 421),
        ("localhost", Some("http://evil.example"), 403),
        ("localhost", Some("null"), 403),
    ] {
        let refused = asked(host, origin);
        assert_eq!((refused.status, refused.json()["error"]["kind"].as_str()), (status, Some("forbidden")), "{host}");
        assert!(refused.header("access-control-allow-origin").is_none());
    }
}

#[test]
fn responses_are_neither_kept_nor_framed() {
    let address = ordinary();
    for reply in [get(address, "/"), post(address, "/v1/infer", &demo()), get(address, "/nothing")] {
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"));
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
