//! The body of a request, within limits of size, time and memory.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};

use super::gate::Memory;
use super::problem::Problem;

/// What is read of a refused body, so that its sender comes to read the refusal.
const LINGER_BYTES: u64 = 32_000_000;
const LINGER: Duration = Duration::from_secs(3);

/// Reads `body` to its end, at most `limit` bytes within `time`, all of it counted in `memory`.
///
/// # Errors
/// 413, 408, 503 (`memory`), 400 for a body that breaks off.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: u64,
    time: Duration,
    memory: &mut Memory,
) -> Result<Vec<u8>, Problem> {
    let declared = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| length > limit) {
        discard(headers, body).await;
        return Err(Problem::too_large(limit));
    }
    if let Err(problem) = memory.grow(declared.unwrap_or(0)) {
        discard(headers, body).await;
        return Err(problem);
    }
    let whole = async {
        // what is declared is reserved, not trusted: memory is taken as bytes come
        let mut bytes = Vec::new();
        while let Some(chunk) = chunk(&mut body).await {
            let chunk = chunk.map_err(|()| broken())?;
            let length = (bytes.len() + chunk.len()) as u64;
            if length > limit {
                return Err(Problem::too_large(limit));
            }
            memory.grow(length)?;
            if bytes.is_empty() {
                bytes.reserve_exact(usize::try_from(declared.unwrap_or(0)).unwrap_or(0));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    match tokio::time::timeout(time, whole).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(problem)) => {
            discard(headers, body).await;
            Err(problem)
        }
        Err(_) => Err(Problem::too_slow()),
    }
}

/// Reads some of a body that nobody wants, for a short time.
pub(super) async fn discard(headers: &HeaderMap, mut body: Body) {
    // who asks first has sent nothing yet
    if headers.contains_key(EXPECT) {
        return;
    }
    let all = async {
        let mut read = 0;
        while let Some(Ok(chunk)) = chunk(&mut body).await {
            read += chunk.len() as u64;
            if read > LINGER_BYTES {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, all).await;
}

async fn chunk(body: &mut Body) -> Option<Result<axum::body::Bytes, ()>> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame.map(|frame| frame.into_data()) {
            Ok(Ok(data)) => return Some(Ok(data)),
            // trailers say nothing to us
            Ok(Err(_)) => {}
            Err(_) => return Some(Err(())),
        }
    }
}

fn broken() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", "the body broke off").hint("send it again")
}
