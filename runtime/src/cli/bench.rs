//! `bench`: how long the model takes here, needing nothing but the model.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::options::{Common, Format, ModelChoice, progress};
use super::{Tally, json, model, print};
use crate::error::{Error, ErrorKind, Result};
use crate::output::json::{EngineInfo, Model, milliseconds};
use crate::preprocess::{Preprocessing, preprocess};
use crate::scan::{Format as ScanFormat, Pixels, Scan};

/// How long the model takes on this machine.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    model: ModelChoice,
    /// Numbers of threads to try, comma-separated.
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    threads: Vec<usize>,
    /// Timed runs after one that warms up.
    #[arg(long, value_name = "N", default_value_t = 20)]
    iterations: usize,
    /// text or json.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// No progress on stderr.
    #[arg(long)]
    quiet: bool,
}

#[derive(Serialize)]
struct Report {
    schema: &'static str,
    model: Model,
    engine: EngineInfo,
    runs: Vec<Run>,
}

#[derive(Serialize)]
struct Run {
    threads: usize,
    iterations: usize,
    load_ms: f64,
    encoder_ms: Percentiles,
    total_ms: Percentiles,
    peak_rss_mb: f64,
}

#[derive(Serialize)]
struct Percentiles {
    median: f64,
    min: f64,
    p95: f64,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |q: f64| {
            let index = ((times.len().saturating_sub(1)) as f64 * q).round() as usize;
            milliseconds(times.get(index).copied().unwrap_or_default())
        };
        Percentiles { median: at(0.5), min: at(0.0), p95: at(0.95) }
    }
}

/// The side of the made-up film that `total_ms` preprocesses.
const FILM_SIDE: u32 = 2048;

impl Bench {
    pub(super) fn run(&self) -> Result<Tally> {
        if self.iterations == 0 || self.iterations > 100_000 {
            return Err(Error::new(ErrorKind::Usage, "--iterations must be 1 to 100000"));
        }
        let threads = if self.threads.is_empty() { vec![0] } else { self.threads.clone() };
        let film = film();
        let bar = progress(threads.len() * self.iterations, self.quiet);
        let mut runs = vec![];
        let mut described = None;
        for threads in threads {
            let common = Common { quiet: self.quiet, threads };
            let clock = Instant::now();
            let loaded = model::load(&self.model, &common, None)?;
            let load = clock.elapsed();
            let engine = &loaded.engine;
            let preprocessing =
                engine.preprocessing().cloned().unwrap_or_else(|| Preprocessing::plain(engine.shape().image_size));
            let mut pixels = vec![0.0; 3 * engine.shape().image_size * engine.shape().image_size];
            let (mut encoder, mut total) = (vec![], vec![]);
            for i in 0..=self.iterations {
                let clock = Instant::now();
                preprocess(&film, &preprocessing, &mut pixels)?;
                let encoding = Instant::now();
                engine.run(&pixels, 1)?;
                if i > 0 {
                    encoder.push(encoding.elapsed());
                    total.push(clock.elapsed());
                    bar.inc(1);
                }
            }
            runs.push(Run {
                threads: engine.threads(),
                iterations: self.iterations,
                load_ms: milliseconds(load),
                encoder_ms: Percentiles::of(encoder),
                total_ms: Percentiles::of(total),
                peak_rss_mb: peak_rss_mb(),
            });
            described = Some((Model::new(engine, &loaded.name), EngineInfo::new(engine)));
        }
        bar.finish_and_clear();
        let (model, engine) = described.ok_or_else(|| Error::new(ErrorKind::Usage, "no number of threads given"))?;
        let report = Report { schema: "rad-dino-edge/bench/1", model, engine, runs };
        match self.format {
            Format::Json => print(&json(&report)?)?,
            Format::Text => print(&text(&report))?,
        }
        Ok(Tally { done: 1, failed: 0 })
    }
}

/// A seeded grey film: timing must not depend on a file at hand.
fn film() -> Scan {
    let mut state = 1u32;
    let count = (FILM_SIDE * FILM_SIDE) as usize;
    let pixels = (0..count).map(|i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (i / 32_768) as u8 ^ (state >> 28) as u8
    });
    Scan {
        width: FILM_SIDE,
        height: FILM_SIDE,
        pixels: Pixels::Gray8(pixels.collect()),
        format: ScanFormat::Png,
        sha256: String::new(),
        tags: Default::default(),
    }
}

/// Peak resident memory of this process so far, MB; 0 where the system does not say.
fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: f64 = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0.0);
    (kilobytes * 1.024).round() / 1e3
}

fn text(report: &Report) -> String {
    let mut lines = vec![
        format!("model {} ({} px), {}", report.model.name, report.model.image_size, report.engine.isa),
        "threads     load   encoder: median      min      p95   with preprocessing: median   peak memory".to_string(),
    ];
    for run in &report.runs {
        lines.push(format!(
            "{:7}  {:4.0} ms  {:14.2} ms {:5.2} ms {:5.2} ms  {:23.2} ms  {:8.0} MB",
            run.threads,
            run.load_ms,
            run.encoder_ms.median,
            run.encoder_ms.min,
            run.encoder_ms.p95,
            run.total_ms.median,
            run.peak_rss_mb
        ));
    }
    lines.join("\n")
}
