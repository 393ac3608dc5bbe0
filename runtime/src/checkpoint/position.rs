//! The position table at another grid than the stored one.

use super::EncoderWeights;
use crate::error::{Error, ErrorKind, Result};

/// Which of the published rules resamples the position table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PositionInterpolation {
    /// As transformers 5: to the target size; plain models without antialias, models with registers with it.
    #[default]
    Size,
    /// As facebookresearch/dinov2 and transformers up to 4.4x: by the factor (g + 0.1) / G for plain models.
    /// Models with registers were never built with the 0.1, so for them this is the same as `Size`.
    Offset,
}

/// The most patches a side that a table is resampled to.
pub const MAX_TARGET_GRID: usize = 512;

/// The position table [1 + g·g, D] for a target grid of g × g patches. Row 0 (CLS) is taken as it is, and so is the
/// whole table when g is the stored grid. Errors: a grid of 0 or above [`MAX_TARGET_GRID`], a table of another length
/// than its config says.
pub fn interpolate(weights: &EncoderWeights, target_grid: usize, mode: PositionInterpolation) -> Result<Vec<f32>> {
    let (d, grid) = (weights.config.hidden_size, weights.config.grid());
    let table = &weights.position_embeddings;
    if target_grid == 0 || target_grid > MAX_TARGET_GRID {
        let message = format!("{target_grid} patches a side, must be 1 to {MAX_TARGET_GRID}");
        return Err(Error::new(ErrorKind::Usage, message).hint("choose another image size"));
    }
    if d == 0 || grid == 0 || grid > MAX_TARGET_GRID || table.len() != (grid * grid + 1) * d {
        let message = format!("position table has {} values, expected ({grid}² + 1) × {d}", table.len());
        return Err(Error::new(ErrorKind::Checkpoint, message).hint("config.json and the weights must belong together"));
    }
    if grid == target_grid {
        return Ok(table.clone());
    }
    let registers = weights.config.model_type == super::config::DINOV2_WITH_REGISTERS;
    let taps: Vec<Taps> = (0..target_grid)
        .map(|i| match (registers, mode) {
            (true, _) => Taps::antialiased(i, grid, target_grid),
            (false, PositionInterpolation::Size) => Taps::plain(i, grid, grid as f64 / target_grid as f64),
            (false, PositionInterpolation::Offset) => Taps::plain(i, grid, grid as f64 / (target_grid as f64 + 0.1)),
        })
        .collect();
    let (cls, patches) = table.split_at(d);
    let mut result = cls.to_vec();
    result.extend(resample(patches, d, grid, &taps));
    Ok(result)
}

/// The same taps along both axes: patches [G, G, D] to [g, g, D].
fn resample(patches: &[f32], d: usize, grid: usize, taps: &[Taps]) -> Vec<f32> {
    let g = taps.len();
    let mut rows = vec![0.0f64; grid * g * d];
    for (source, target) in patches.chunks_exact(grid * d).zip(rows.chunks_exact_mut(g * d)) {
        for (tap, out) in taps.iter().zip(target.chunks_exact_mut(d)) {
            for (index, weight) in tap.iter() {
                accumulate(out, source.iter().skip(index * d).map(|v| f64::from(*v)), weight);
            }
        }
    }
    let mut result = Vec::with_capacity(g * g * d);
    let mut line = vec![0.0f64; g * d];
    for tap in taps {
        line.fill(0.0);
        for (index, weight) in tap.iter() {
            accumulate(&mut line, rows.iter().skip(index * g * d).copied(), weight);
        }
        result.extend(line.iter().map(|v| *v as f32));
    }
    result
}

fn accumulate(out: &mut [f64], source: impl Iterator<Item = f64>, weight: f64) {
    out.iter_mut().zip(source).for_each(|(o, s)| *o += s * weight);
}

/// Which inputs make one output, and how much of each.
struct Taps(Vec<(usize, f64)>);

impl Taps {
    fn iter(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.0.iter().copied()
    }

    /// Four taps around (i + 0.5) · step − 0.5, a = −0.75, clamped to the edge (`align_corners=False`).
    fn plain(i: usize, input: usize, step: f64) -> Self {
        let last = input.saturating_sub(1) as f64;
        let x = step * (i as f64 + 0.5) - 0.5;
        let base = x.floor().min(last);
        let t = (x - base).clamp(0.0, 1.0);
        let taps = [-1.0, 0.0, 1.0, 2.0].map(|k| ((base + k).clamp(0.0, last) as usize, keys(t - k, -0.75)));
        Taps(taps.to_vec())
    }

    /// All taps of the kernel stretched by G / g when that is above 1, a = −0.5, cut at the edge and normalised.
    fn antialiased(i: usize, input: usize, output: usize) -> Self {
        let scale = input as f64 / output as f64;
        let stretch = scale.max(1.0);
        let center = scale * (i as f64 + 0.5);
        let support = 2.0 * stretch;
        let first = (center - support + 0.5).max(0.0) as usize;
        let end = ((center + support + 0.5) as usize).min(input);
        let taps: Vec<(usize, f64)> =
            (first..end).map(|j| (j, keys((j as f64 - center + 0.5) / stretch, -0.5))).collect();
        let total: f64 = taps.iter().map(|(_, weight)| weight).sum();
        Taps(taps.into_iter().map(|(j, weight)| (j, weight / total)).collect())
    }
}

/// Keys' cubic convolution kernel.
fn keys(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_sum_to_one_at_every_size() {
        for (input, output) in [(1, 5), (5, 1), (5, 3), (5, 7), (37, 16), (37, 37), (16, 37), (2, 9)] {
            for i in 0..output {
                let step = input as f64 / output as f64;
                for taps in [Taps::plain(i, input, step), Taps::antialiased(i, input, output)] {
                    let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
                    assert!((sum - 1.0).abs() < 1e-12, "{input}→{output} {i}: {sum}");
                    assert!(taps.iter().all(|(index, _)| index < input));
                }
            }
        }
    }

    #[test]
    fn a_constant_table_stays_and_the_cls_row_is_untouched() {
        let dims = (3usize, 5usize);
        let mut weights = super::super::weights::tests::random(1);
        weights.config.hidden_size = dims.0;
        weights.config.image_size = dims.1 * weights.config.patch_size;
        weights.position_embeddings = [9.0, 8.0, 7.0].into_iter().chain(vec![0.25; 3 * 25]).collect();
        for mode in [PositionInterpolation::Size, PositionInterpolation::Offset] {
            let table = interpolate(&weights, 8, mode).unwrap();
            assert_eq!(table.len(), 3 * 65);
            assert_eq!(table[..3], [9.0, 8.0, 7.0]);
            assert!(table[3..].iter().all(|v| (v - 0.25).abs() < 1e-6));
            assert_eq!(interpolate(&weights, 5, mode).unwrap(), weights.position_embeddings);
            assert_eq!(interpolate(&weights, 0, mode).unwrap_err().kind(), ErrorKind::Usage);
        }
        weights.position_embeddings.pop();
        assert_eq!(interpolate(&weights, 8, PositionInterpolation::Size).unwrap_err().kind(), ErrorKind::Checkpoint);
    }
}
