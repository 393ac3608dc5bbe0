//! `GET /v1/worklist`: what the queue holds.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::assets::json;
use super::problem::Problem;
use super::state::House;
use crate::error::{Error, ErrorKind, Result};
use crate::service::Queue;
use crate::service::clock::rfc3339;

const LIMIT: usize = 100;
const MOST: usize = 1000;

/// One object of the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// A SOP instance UID or a file's stem.
    pub name: String,
    /// The queue's word.
    pub state: String,
    /// RFC 3339.
    pub received: String,
    /// RFC 3339.
    pub finished: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last try failed.
    pub error: Option<String>,
}

/// Where the work list comes from. Closures will do.
pub trait Worklist: Send + Sync {
    /// The newest `limit` objects, newest first. May block.
    ///
    /// # Errors
    /// Those of the queue.
    fn list(&self, limit: usize) -> Result<Vec<Entry>>;

    /// How many objects stand in which state; empty where nobody counts. May block.
    ///
    /// # Errors
    /// Those of the queue.
    fn counts(&self) -> Result<Vec<(&'static str, u64)>> {
        Ok(vec![])
    }
}

impl<F: Fn(usize) -> Result<Vec<Entry>> + Send + Sync> Worklist for F {
    fn list(&self, limit: usize) -> Result<Vec<Entry>> {
        self(limit)
    }
}

impl Worklist for Queue {
    fn list(&self, limit: usize) -> Result<Vec<Entry>> {
        let entries = Queue::list(self, limit)?.into_iter().map(|entry| Entry {
            name: entry.name,
            state: entry.state.as_str().into(),
            received: rfc3339(entry.received),
            finished: entry.finished.map(rfc3339),
            attempts: entry.attempts,
            error: entry.error,
        });
        Ok(entries.collect())
    }

    fn counts(&self) -> Result<Vec<(&'static str, u64)>> {
        let counts = Queue::counts(self)?;
        Ok(vec![
            ("queued", counts.queued),
            ("running", counts.running),
            ("done", counts.done),
            ("failed", counts.failed),
            ("dead", counts.dead),
        ])
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    limit: Option<usize>,
}

#[derive(Serialize)]
struct List {
    /// False when this service has no queue.
    queue: bool,
    entries: Vec<Entry>,
}

pub(super) async fn worklist(
    State(house): State<Arc<House>>,
    wanted: std::result::Result<Query<Wanted>, QueryRejection>,
) -> std::result::Result<Response, Problem> {
    let limit = wanted.map(|Query(wanted)| wanted.limit.unwrap_or(LIMIT));
    let limit = limit
        .ok()
        .filter(|limit| (1..=MOST).contains(limit))
        .ok_or_else(|| Problem::new(StatusCode::BAD_REQUEST, "usage", format!("limit is a number from 1 to {MOST}")))?;
    let listed = tokio::task::spawn_blocking(move || {
        let entries = house.worklist.as_ref().map_or(Ok(vec![]), |worklist| worklist.list(limit));
        entries.map(|entries| List { queue: house.worklist.is_some(), entries })
    });
    let list = listed.await.map_err(|_| Error::new(ErrorKind::Internal, "the queue ended its thread"))??;
    Ok(json(StatusCode::OK, serde_json::to_vec(&list).unwrap_or_default()))
}
