//! `POST /v1/infer`: a film in, the object of `infer --format json` out.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::assets::json;
use super::body;
use super::options::Options;
use super::pictures::Pictures;
use super::problem::Problem;
use super::state::House;
use crate::error::{Error, ErrorKind};
use crate::output::json::Answer;
use crate::reader::Maps;
use crate::scan;

/// Characters of a file's sha256 that stand for its name.
const NAME: usize = 12;

/// The answer and what was asked for beside it.
#[derive(Serialize)]
struct Reply {
    #[serde(flatten)]
    answer: Answer,
    #[serde(skip_serializing_if = "Option::is_none")]
    maps: Option<Maps>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pictures: Option<Pictures>,
}

pub(super) async fn infer(
    State(house): State<Arc<House>>,
    options: Result<Query<Options>, QueryRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let Query(options) = match options.map_err(|rejection| query(&rejection)).and_then(|options| {
        film(&head.headers)?;
        Ok(options)
    }) {
        Ok(options) => options,
        Err(problem) => {
            body::discard(&head.headers, body).await;
            return Err(problem);
        }
    };
    let place = match house.gate.place() {
        Ok(place) => place,
        Err(problem) => {
            body::discard(&head.headers, body).await;
            return Err(problem);
        }
    };
    let settings = &house.settings;
    let mut memory = house.gate.memory()?;
    let limit = settings.limits.max_file_bytes;
    let bytes = body::read(&head.headers, body, limit, settings.body_time, &mut memory).await?;
    let slot = house.gate.slot(settings.wait_time).await?;
    // A client that goes away leaves the thread running; place, memory and slot stay taken until it is done.
    let work = tokio::task::spawn_blocking(move || {
        let _held = (place, memory, slot);
        look(&house, bytes, &options)
    });
    let reply = work.await.map_err(|_| Error::new(ErrorKind::Internal, "the film ended its thread"))??;
    Ok(json(StatusCode::OK, reply))
}

fn look(house: &House, bytes: Vec<u8>, options: &Options) -> Result<Vec<u8>, Problem> {
    let start = Instant::now();
    let _visit = house.reader.engine().visit();
    let scan = scan::Options { voi: options.voi, ..scan::Options::from(&house.settings.limits) }.decode(&bytes);
    let scan = scan.map_err(|e| Problem::from(e).of(name(&sha256(&bytes))))?;
    let size = bytes.len() as u64;
    drop(bytes);
    let name = name(&scan.sha256);
    let of = |error: Error| Problem::from(error).of(name.clone());
    let (decoded, wish) = (start.elapsed(), options.wish());
    let reading = house.reader.read(&name, &scan, decoded, &wish).map_err(of)?;
    let pictures = Pictures::of(&scan, &reading, options.display).map_err(of)?;
    let reply = Reply { answer: reading.answer, maps: reading.maps, pictures };
    let text = serde_json::to_vec(&reply).map_err(|e| Error::new(ErrorKind::Internal, "JSON").source(e))?;
    house.metrics.reading(size, start.elapsed(), reply.answer.warnings.iter().map(|w| w.kind));
    Ok(text)
}

/// A film's own name may be a patient's; this one is not.
fn name(sha256: &str) -> String {
    sha256.chars().take(NAME).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The bytes tell what they are; a form around them would have to be taken off first.
fn film(headers: &HeaderMap) -> Result<(), Problem> {
    let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
    let refused = ["multipart/", "application/json", "text/"];
    if refused.iter().any(|r| kind.get(..r.len()).is_some_and(|start| start.eq_ignore_ascii_case(r.as_bytes()))) {
        let message = "the body must be the file itself, PNG, JPEG or DICOM";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_format", message)
            .hint("curl --data-binary @film.png -H 'Content-Type: application/octet-stream'"));
    }
    Ok(())
}

fn query(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "usage", rejection.body_text())
        .hint("it takes heatmap, heatmap_for, masks, report, maps, voi and display: see /openapi.json")
}
