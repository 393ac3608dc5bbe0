//! The page and the OpenAPI document, inside the binary; and responses of a type.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;

/// A body with its type.
pub(super) fn typed(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// JSON text.
pub(super) fn json(status: StatusCode, text: Vec<u8>) -> Response {
    typed(status, "application/json", text)
}

/// Path, type and content of each file.
pub(super) const FILES: [(&str, &str, &str); 8] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/answer.js", SCRIPT, include_str!("page/answer.js")),
    ("/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/draw.js", SCRIPT, include_str!("page/draw.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/openapi.json", "application/json", include_str!("openapi.json")),
];

const SCRIPT: &str = "text/javascript; charset=utf-8";
