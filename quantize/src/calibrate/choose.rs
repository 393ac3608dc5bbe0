//! How a layer is rounded: levelled or not, clipped or not, by the error at its output on calibration films.

use rayon::prelude::*;

use super::report::LayerReport;
use super::simulate::{Simulator, cosine};
use crate::fold::{FoldedBlock, Layer, Linear};
use crate::int8;
use crate::rounded::Rounded;
use crate::smooth::{Level, Range};

/// Rows of a layer's input that errors are measured on.
const ROWS: usize = 512;
/// Strengths of the scales that are tried.
const STRENGTHS: [Option<f64>; 8] = [None, Some(0.3), Some(0.4), Some(0.5), Some(0.6), Some(0.7), Some(0.8), Some(0.9)];
/// A levelling has to take this share off the error, or the layer stays as it is.
const GAIN: f64 = 0.03;
/// Before fc2 of a GELU it costs two passes over the hidden row, so it has to take more.
const GAIN_FC2: f64 = 0.2;

/// Chooses for `layer` of `block`, whose input over the films is `inputs` ([T, K] each), and changes the block.
pub(crate) fn layer(
    simulator: &Simulator<'_>,
    block: &mut FoldedBlock,
    layer: Layer,
    inputs: &[&[f32]],
) -> (Rounded, LayerReport) {
    let linear = block.linear(layer).clone();
    let k = linear.inputs;
    let range = Range::of(inputs.iter().flat_map(|film| film.chunks_exact(k)), k);
    let sample = sample(inputs, k);
    let expected = simulator.outputs(&linear, &Rounded::F32, &sample);
    let error_of = |level: Option<&Level>, clipped: bool| {
        let (levelled, rows) = match level {
            Some(level) => (level.linear(&linear), level.rows(&sample)),
            None => (linear.clone(), sample.clone()),
        };
        let rounded = rounded(&levelled, &rows, clipped);
        error(&simulator.outputs(&levelled, &rounded, &rows), &expected)
    };
    let centrings: &[bool] = if layer == Layer::Fc2 && simulator.swiglu() { &[false] } else { &[false, true] };
    let candidates: Vec<(Option<f64>, bool)> =
        centrings.iter().flat_map(|&centred| STRENGTHS.map(|strength| (strength, centred))).collect();
    let errors: Vec<f64> = candidates
        .par_iter()
        .map(|&(strength, centred)| error_of(Some(&Level::new(&range, &linear, strength, centred)), false))
        .collect();
    let plain = error_of(None, false);
    let best = errors.iter().copied().zip(&candidates).min_by(|a, b| a.0.total_cmp(&b.0));
    let gain = if layer == Layer::Fc2 && !simulator.swiglu() { GAIN_FC2 } else { GAIN };
    let best = best.filter(|(error, _)| *error < plain * (1.0 - gain)).map(|(_, candidate)| *candidate);
    let level = best.map(|(strength, centred)| Level::new(&range, &linear, strength, centred));
    let clipped = error_of(level.as_ref(), true) < error_of(level.as_ref(), false);
    let rows = match &level {
        Some(level) => {
            level.apply(block, layer, simulator.swiglu());
            level.rows(&sample)
        }
        None => sample,
    };
    let linear = block.linear(layer);
    let rounded = rounded(linear, &rows, clipped);
    let found = simulator.outputs(linear, &rounded, &rows);
    let tokens = found.chunks_exact(linear.outputs).zip(expected.chunks_exact(linear.outputs));
    let cosines: Vec<f64> = tokens.map(|(a, b)| cosine(a, b)).collect();
    let report = LayerReport {
        block: 0,
        layer: layer.as_str(),
        format: "int8",
        weights: linear.weight.len(),
        strength: best.and_then(|(strength, _)| strength),
        centred: best.is_some_and(|(_, centred)| centred),
        clipped,
        sqnr_plain_db: decibels(plain),
        sqnr_db: decibels(error(&found, &expected)),
        cosine: cosines.iter().sum::<f64>() / cosines.len().max(1) as f64,
        cls_cosine_alone: 1.0,
    };
    (rounded, report)
}

fn rounded(linear: &Linear, rows: &[f32], clipped: bool) -> Rounded {
    if !clipped {
        return Rounded::Int8(int8::quantize(linear));
    }
    let mut energy = vec![0.0f32; linear.inputs];
    for row in rows.chunks_exact(linear.inputs) {
        energy.iter_mut().zip(row).for_each(|(e, x)| *e += x * x);
    }
    Rounded::Int8(int8::clip(linear, &energy))
}

/// At most [`ROWS`] rows, evenly spaced over the films, each film's CLS token among them.
fn sample(inputs: &[&[f32]], k: usize) -> Vec<f32> {
    let each = (ROWS / inputs.len().max(1)).max(1);
    let of_film = |film: &&[f32]| -> Vec<f32> {
        let tokens = film.len() / k.max(1);
        let count = each.min(tokens);
        (0..count).flat_map(|i| film[i * tokens / count * k..][..k].to_vec()).collect()
    };
    inputs.iter().flat_map(of_film).collect()
}

/// |found − expected|² / |expected|²
fn error(found: &[f32], expected: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let noise: f64 = found.iter().zip(expected).map(|(a, b)| square(a - b)).sum();
    let signal: f64 = expected.iter().map(|b| square(*b)).sum();
    noise / signal.max(f64::MIN_POSITIVE)
}

fn decibels(error: f64) -> f64 {
    -10.0 * error.max(1e-30).log10()
}
