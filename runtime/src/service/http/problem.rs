//! A refusal: a status and a JSON object that says why.

use axum::http::header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::assets::json;
use crate::error::{Error, ErrorKind};
use crate::output::json::INFER_SCHEMA;

/// Why a request was not answered.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: StatusCode,
    kind: &'static str,
    message: String,
    hint: Option<String>,
    /// The name of the scan that it is about.
    scan: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Input<'a>>,
    error: Reason<'a>,
}

#[derive(Serialize)]
struct Input<'a> {
    path: &'a str,
}

#[derive(Serialize)]
struct Reason<'a> {
    kind: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl Problem {
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Problem { status, kind, message: message.into(), hint: None, scan: None, headers: vec![] }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the scan.
    #[must_use]
    pub fn of(mut self, scan: String) -> Self {
        self.scan = Some(scan);
        self
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// 429: all places are taken.
    pub fn full() -> Self {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", "all places are taken")
            .hint("try again after the seconds in Retry-After")
            .with(RETRY_AFTER, "1")
    }

    /// 503: it would take too long or too much memory now.
    pub fn overloaded(message: &str) -> Self {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", message)
            .hint("try again after the seconds in Retry-After")
            .with(RETRY_AFTER, "2")
    }

    /// 413
    pub fn too_large(limit: u64) -> Self {
        let message = format!("the body is larger than the limit of {limit} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "limits", message)
            .hint("raise --max-file-mb if the file is to be trusted")
            .with(CONNECTION, "close")
    }

    /// 408
    pub fn too_slow() -> Self {
        Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time")
            .with(CONNECTION, "close")
    }

    /// 401
    pub fn unauthorized() -> Self {
        Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "this needs the token of the service")
            .hint("send it as `Authorization: Bearer TOKEN`")
            .with(WWW_AUTHENTICATE, "Bearer")
    }

    /// 405
    pub fn method(allowed: &'static str) -> Self {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "usage", format!("this is asked for by {allowed}"))
            .with(ALLOW, allowed)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match error.kind() {
            ErrorKind::Limits => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorKind::UnsupportedFormat => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorKind::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Usage => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Problem::new(status, error.kind().as_str(), error.message());
        Problem { hint: error.remedy().map(String::from), ..problem }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let object = Object {
            schema: self.scan.as_ref().map(|_| INFER_SCHEMA),
            input: self.scan.as_deref().map(|path| Input { path }),
            error: Reason { kind: self.kind, message: &self.message, hint: self.hint.as_deref() },
        };
        let mut response = json(self.status, serde_json::to_vec(&object).unwrap_or_default());
        response.headers_mut().extend(self.headers);
        response
    }
}
