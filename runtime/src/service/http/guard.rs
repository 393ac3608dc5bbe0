//! What every request passes: names, origin, token; and what every response carries.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY};
use axum::http::header::{HeaderMap, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use axum::http::{StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::state::House;
use super::{Settings, assets, body};
use crate::service::log;

/// Own scripts, styles and connections; pictures from memory, too.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 7] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Paths as metrics and logs name them.
const PATHS: [&str; 4] = ["/healthz", "/metrics", "/v1/infer", "/v1/worklist"];

const METHODS: [&str; 4] = ["GET", "HEAD", "POST", "OPTIONS"];

pub(super) async fn guard(State(house): State<Arc<House>>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let (method, path) = (known(&METHODS, request.method().as_str()), named(request.uri().path()));
    let refused = check(&house.settings, request.uri(), request.headers());
    let mut response = match refused {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let (head, body) = request.into_parts();
            body::discard(&head.headers, body).await;
            problem.into_response()
        }
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let time = start.elapsed();
    house.metrics.request(path, response.status(), time);
    if house.settings.log {
        let (status, ms) = (response.status().as_u16(), (time.as_secs_f64() * 1e4).round() / 10.0);
        let fields = [("method", method.into()), ("path", path.into()), ("status", status.into()), ("ms", ms.into())];
        log::info("request", &fields);
    }
    response
}

fn named(path: &str) -> &'static str {
    assets::FILES.iter().map(|file| file.0).find(|known| *known == path).unwrap_or_else(|| known(&PATHS, path))
}

/// What a client makes up is not repeated.
fn known(words: &[&'static str], word: &str) -> &'static str {
    words.iter().find(|known| **known == word).unwrap_or(&"other")
}

fn check(settings: &Settings, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok()).unwrap_or("");
    if settings.listen.ip().is_loopback() {
        // A name that an attacker's DNS points here (rebinding) is none of ours.
        let target = uri.host().unwrap_or_else(|| without_port(host));
        if !(is_ours(settings, without_port(host)) && is_ours(settings, target)) {
            return Err(Problem::new(
                StatusCode::MISDIRECTED_REQUEST,
                "forbidden",
                "the Host header names another host",
            )
            .hint("ask 127.0.0.1 or localhost; a proxy's name is made known by --host NAME"));
        }
    }
    if let Some(origin) = headers.get(ORIGIN) {
        let authority = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, authority)| authority);
        if !authority.is_some_and(|a| default_port(a).eq_ignore_ascii_case(default_port(host))) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "pages of other origins are not answered"));
        }
    }
    let open = !(uri.path().starts_with("/v1/") || uri.path() == "/metrics");
    if let Some(token) = &settings.token
        && !open
        && !headers.get(AUTHORIZATION).is_some_and(|value| token.is_in(value.as_bytes()))
    {
        return Err(Problem::unauthorized());
    }
    Ok(())
}

/// An address of this machine, or a name that the settings allow.
fn is_ours(settings: &Settings, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        || settings.hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Browsers leave the scheme's own port out, proxies may not.
fn default_port(authority: &str) -> &str {
    authority.strip_suffix(":80").or_else(|| authority.strip_suffix(":443")).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::http::Token;

    fn status(settings: &Settings, uri: &str, headers: &[(HeaderName, &str)]) -> u16 {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        check(settings, &uri.parse().unwrap(), &headers).map_or_else(|problem| problem.status.as_u16(), |()| 200)
    }

    #[test]
    fn loopback_answers_to_its_own_names_only() {
        let mut settings = Settings::new("127.0.0.1:8080".parse().unwrap());
        for (host, expected) in [
            ("127.0.0.1:8080", 200),
            ("localhost:8080", 200),
            ("LOCALHOST", 200),
            ("[::1]:8080", 200),
            ("127.1.2.3", 200),
            ("evil.example:8080", 421),
            ("localhost.evil.example", 421),
            ("192.168.0.1:8080", 421),
            ("127.0.0.1.evil.example", 421),
            ("", 421),
        ] {
            assert_eq!(status(&settings, "/", &[(HOST, host)]), expected, "{host}");
        }
        assert_eq!(status(&settings, "/", &[]), 421);
        assert_eq!(status(&settings, "http://evil.example/", &[(HOST, "localhost")]), 421);
        settings.hosts.push("films.example".into());
        assert_eq!(status(&settings, "/", &[(HOST, "films.example")]), 200);
    }

    #[test]
    fn other_origins_are_refused() {
        let settings = Settings::new("127.0.0.1:8080".parse().unwrap());
        for (origin, expected) in [
            ("http://localhost:8080", 200),
            ("http://localhost:8081", 403),
            ("http://evil.example", 403),
            ("http://localhost", 403),
            ("null", 403),
        ] {
            let headers = [(HOST, "localhost:8080"), (ORIGIN, origin)];
            assert_eq!(status(&settings, "/v1/infer", &headers), expected, "{origin}");
        }
        let headers = [(HOST, "localhost"), (ORIGIN, "https://localhost:443")];
        assert_eq!(status(&settings, "/v1/infer", &headers), 200);
    }

    #[test]
    fn the_token_guards_what_holds_data() {
        let mut settings = Settings::new("0.0.0.0:8080".parse().unwrap());
        settings.token = Some(Token::new("0123456789abcdef").unwrap());
        let right = (AUTHORIZATION, "Bearer 0123456789abcdef");
        for path in ["/v1/infer", "/v1/worklist", "/metrics", "/v1/unknown"] {
            assert_eq!(status(&settings, path, &[(HOST, "box.example")]), 401, "{path}");
            assert_eq!(status(&settings, path, &[(HOST, "box.example"), right.clone()]), 200, "{path}");
        }
        for path in ["/", "/page.js", "/healthz", "/openapi.json"] {
            assert_eq!(status(&settings, path, &[(HOST, "box.example")]), 200, "{path}");
        }
    }
}
