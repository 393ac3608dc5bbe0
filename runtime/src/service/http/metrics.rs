//! What the service counts, in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use super::assets::typed;
use super::histogram::Histogram;
use super::problem::Problem;
use super::state::House;
use crate::error::{Error, ErrorKind};
use crate::service::clock;

/// Counters since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(&'static str, u16), u64>,
    warnings: BTreeMap<String, u64>,
    infer: Histogram,
    reading: Histogram,
    bytes: u64,
    /// Milliseconds since 1970.
    last: Option<i64>,
}

impl Metrics {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request to `path` was answered.
    pub fn request(&self, path: &'static str, status: StatusCode, time: Duration) {
        let mut counts = self.counts();
        *counts.requests.entry((path, status.as_u16())).or_default() += 1;
        if path == "/v1/infer" && status.is_success() {
            counts.infer.add(time.as_secs_f64());
        }
    }

    /// A film of `bytes` was read in `time`, with warnings of these kinds.
    pub fn reading<'a>(&self, bytes: u64, time: Duration, warnings: impl Iterator<Item = &'a str>) {
        let mut counts = self.counts();
        counts.reading.add(time.as_secs_f64());
        counts.bytes += bytes;
        counts.last = Some(clock::now());
        for kind in warnings {
            *counts.warnings.entry(kind.into()).or_default() += 1;
        }
    }

    /// When the last film was read, milliseconds since 1970.
    pub fn last(&self) -> Option<i64> {
        self.counts().last
    }
}

/// `GET /metrics`
pub(super) async fn metrics(State(house): State<Arc<House>>) -> Result<Response, Problem> {
    // the queue may have to wait for its disk
    let text = tokio::task::spawn_blocking(move || text(&house));
    let text = text.await.map_err(|_| Error::new(ErrorKind::Internal, "the queue ended its thread"))??;
    Ok(typed(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text))
}

fn text(house: &House) -> crate::Result<String> {
    let objects = house.worklist.as_ref().map_or(Ok(vec![]), |worklist| worklist.counts())?;
    let mut text = String::new();
    let head = |text: &mut String, name: &str, kind: &str, help: &str| {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    };
    let counts = house.metrics.counts();
    head(&mut text, "rad_dino_http_requests_total", "counter", "Requests answered, by path and status.");
    for ((path, status), count) in &counts.requests {
        let _ = writeln!(text, "rad_dino_http_requests_total{{path=\"{path}\",status=\"{status}\"}} {count}");
    }
    let name = "rad_dino_infer_request_duration_seconds";
    head(&mut text, name, "histogram", "From a request's header to its answer, waiting included.");
    counts.infer.write(&mut text, name);
    let name = "rad_dino_reading_duration_seconds";
    head(&mut text, name, "histogram", "Decoding, reading and drawing one film.");
    counts.reading.write(&mut text, name);
    head(&mut text, "rad_dino_warnings_total", "counter", "Films that were answered with a warning, by kind.");
    for (kind, count) in &counts.warnings {
        let _ = writeln!(text, "rad_dino_warnings_total{{kind=\"{}\"}} {count}", escaped(kind));
    }
    let last = seconds(counts.last.unwrap_or(0));
    let bytes = counts.bytes;
    drop(counts);
    let start = seconds(house.started);
    let numbers = [
        ("rad_dino_read_bytes_total", "counter", "Bytes of the films that were read.", bytes as f64),
        ("rad_dino_places_taken", "gauge", "Requests being uploaded, waiting or read.", house.gate.taken() as f64),
        ("rad_dino_queue_depth", "gauge", "Requests that wait for a slot.", house.gate.waiting() as f64),
        ("rad_dino_last_reading_timestamp_seconds", "gauge", "When the last film was read; 0 for never.", last),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", resident() as f64),
        ("process_start_time_seconds", "gauge", "When the service started.", start),
    ];
    for (name, kind, help, value) in numbers {
        head(&mut text, name, kind, help);
        let _ = writeln!(text, "{name} {value}");
    }
    if !objects.is_empty() {
        head(&mut text, "rad_dino_worklist_objects", "gauge", "Objects of the queue, by state.");
        for (state, count) in objects {
            let _ = writeln!(text, "rad_dino_worklist_objects{{state=\"{state}\"}} {count}");
        }
    }
    head(&mut text, "rad_dino_model_info", "gauge", "The model that is loaded.");
    let model = &house.model;
    let _ = writeln!(
        text,
        "rad_dino_model_info{{name=\"{}\",precision=\"{}\",sha256=\"{}\",isa=\"{}\"}} 1",
        escaped(&model.name),
        model.precision.unwrap_or("unknown"),
        model.sha256,
        house.engine.isa
    );
    Ok(text)
}

/// Resident memory in bytes; 0 where the system does not tell.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|kb| kb.trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1e3
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
