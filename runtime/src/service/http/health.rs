//! `GET /healthz`: is it there, with what model, when did it last read a film.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use super::assets::json;
use super::state::House;
use crate::output::json::{EngineInfo, Model};
use crate::service::clock::rfc3339;

#[derive(Serialize)]
struct Health<'a> {
    /// `ok`, or `closing` after the signal to stop.
    status: &'static str,
    model: &'a Model,
    engine: &'a EngineInfo,
    /// Labels for heatmap_for.
    findings: &'a [String],
    /// Labels of the masks.
    segmentation: &'a [String],
    started: String,
    last_reading: Option<String>,
    /// Whether /v1 asks for a token.
    token: bool,
    /// Whether there is a work list.
    worklist: bool,
    max_file_bytes: u64,
}

pub(super) async fn health(State(house): State<Arc<House>>) -> Response {
    let closing = house.closing.load(Ordering::Relaxed);
    let health = Health {
        status: if closing { "closing" } else { "ok" },
        model: &house.model,
        engine: &house.engine,
        findings: &house.findings,
        segmentation: &house.segmentation,
        started: rfc3339(house.started),
        last_reading: house.metrics.last().map(rfc3339),
        token: house.settings.token.is_some(),
        worklist: house.worklist.is_some(),
        max_file_bytes: house.settings.limits.max_file_bytes,
    };
    let status = if closing { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    json(status, serde_json::to_vec(&health).unwrap_or_default())
}
