//! Latency of two models, measured in turns, so that both meet the same machine.

use std::time::Instant;

use rad_dino_edge::Result;
use rad_dino_train::features::Encoder;
use rad_dino_train::metrics::bootstrap::percentile;
use serde::Serialize;

/// Passes that only warm up.
const WARM_UP: usize = 2;

/// One image through a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Milliseconds {
    /// Over the rounds.
    pub median: f64,
    /// The fastest.
    pub min: f64,
    /// 95 % are at least as fast.
    pub p95: f64,
}

/// Runs both `rounds` times, in turns.
pub(super) fn alternate(
    a: &Encoder,
    b: &Encoder,
    (pixels_a, pixels_b): &(Vec<f32>, Vec<f32>),
    rounds: usize,
) -> Result<(Milliseconds, Milliseconds)> {
    let (mut ours, mut theirs) = (Vec::with_capacity(rounds), Vec::with_capacity(rounds));
    for round in 0..WARM_UP + rounds {
        for (encoder, pixels, times) in [(a, pixels_a, &mut ours), (b, pixels_b, &mut theirs)] {
            let start = Instant::now();
            encoder.engine().run(pixels, 1)?;
            if round >= WARM_UP {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    Ok((summary(ours), summary(theirs)))
}

fn summary(mut times: Vec<f64>) -> Milliseconds {
    times.sort_by(f64::total_cmp);
    Milliseconds { median: percentile(&times, 0.5), min: percentile(&times, 0.0), p95: percentile(&times, 0.95) }
}
