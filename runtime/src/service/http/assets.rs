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

pub(super) async fn index() -> Response {
    typed(StatusCode::OK, "text/html; charset=utf-8", include_str!("page/index.html"))
}

pub(super) async fn style() -> Response {
    typed(StatusCode::OK, "text/css; charset=utf-8", include_str!("page/style.css"))
}

pub(super) async fn script() -> Response {
    typed(StatusCode::OK, "text/javascript; charset=utf-8", include_str!("page/page.js"))
}

pub(super) async fn icon() -> Response {
    typed(StatusCode::OK, "image/svg+xml", include_str!("page/icon.svg"))
}

pub(super) async fn openapi() -> Response {
    typed(StatusCode::OK, "application/json", include_str!("openapi.json"))
}
