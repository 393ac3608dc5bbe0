//! Levelling: the inputs of a linear layer are shifted and scaled so that none stands out when a row is rounded to int8
//! (SmoothQuant's scales, Outlier Suppression+'s shifts), and whatever makes them is changed to give them like that:
//! the LayerNorm before qkv and fc1, v's columns before the output projection (attention's weights sum to 1), SwiGLU's
//! linear half. Nothing before fc2 of a GELU can take them, so the file does it explicitly.

use rad_dino_edge::engine::Levelling;

use crate::fold::{FoldedBlock, Layer, Linear};

/// x' = (x − mean) / scale, an input at a time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Level {
    /// [K]
    pub mean: Vec<f32>,
    /// [K]
    pub scale: Vec<f32>,
}

/// What an input does over the calibration films.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Range {
    /// [K]
    pub mean: Vec<f32>,
    /// [K]
    pub low: Vec<f32>,
    /// [K]
    pub high: Vec<f32>,
}

impl Range {
    /// Of rows [n, `width`].
    pub fn of<'a>(rows: impl Iterator<Item = &'a [f32]>, width: usize) -> Self {
        let (mut sums, mut count) = (vec![0.0f64; width], 0u32);
        let (mut low, mut high) = (vec![f32::INFINITY; width], vec![f32::NEG_INFINITY; width]);
        for row in rows {
            count += 1;
            for (((x, sum), low), high) in row.iter().zip(&mut sums).zip(&mut low).zip(&mut high) {
                *sum += f64::from(*x);
                *low = low.min(*x);
                *high = high.max(*x);
            }
        }
        let mean = sums.iter().map(|sum| (sum / f64::from(count.max(1))) as f32).collect();
        Range { mean, low, high }
    }
}

/// Smallest range or weight that counts.
const TINY: f32 = 1e-5;

impl Level {
    /// scaleₖ ∝ reachₖ^strength / weightₖ^(1 − strength), geometric mean 1, with reach the largest |x − mean| and weight
    /// the largest |w| of input k; without `strength` 1. Without `centred` the mean counts as 0.
    pub fn new(range: &Range, linear: &Linear, strength: Option<f64>, centred: bool) -> Self {
        let mean = if centred { range.mean.clone() } else { vec![0.0; linear.inputs] };
        let Some(strength) = strength else { return Level { mean, scale: vec![1.0; linear.inputs] } };
        let weights = linear.weight.chunks_exact(linear.outputs.max(1));
        let weights = weights.map(|row| row.iter().fold(TINY, |peak, w| peak.max(w.abs())));
        let reach =
            range.low.iter().zip(&range.high).zip(&mean).map(|((low, high), m)| (high - m).max(m - low).max(TINY));
        let logs: Vec<f64> = reach
            .zip(weights)
            .map(|(reach, weight)| strength * f64::from(reach).ln() - (1.0 - strength) * f64::from(weight).ln())
            .collect();
        let middle = logs.iter().sum::<f64>() / logs.len().max(1) as f64;
        Level { mean, scale: logs.into_iter().map(|l| (l - middle).exp() as f32).collect() }
    }

    /// The layer that gives the same on x' as `linear` on x.
    pub fn linear(&self, linear: &Linear) -> Linear {
        let n = linear.outputs.max(1);
        let mut bias: Vec<f64> = linear.bias.iter().map(|b| f64::from(*b)).collect();
        let mut weight = Vec::with_capacity(linear.weight.len());
        for ((row, mean), scale) in linear.weight.chunks_exact(n).zip(&self.mean).zip(&self.scale) {
            bias.iter_mut().zip(row).for_each(|(b, w)| *b += f64::from(*w) * f64::from(*mean));
            weight.extend(row.iter().map(|w| w * scale));
        }
        Linear { weight, bias: bias.into_iter().map(|b| b as f32).collect(), ..*linear }
    }

    /// x' of `rows` [n, K].
    pub fn rows(&self, rows: &[f32]) -> Vec<f32> {
        let level = |row: &[f32]| -> Vec<f32> {
            row.iter().zip(&self.mean).zip(&self.scale).map(|((x, m), s)| (x - m) / s).collect()
        };
        rows.chunks_exact(self.mean.len().max(1)).flat_map(level).collect()
    }

    /// Makes `block` give `layer` the input x' and takes it back in the layer's weights.
    pub fn apply(&self, block: &mut FoldedBlock, layer: Layer, swiglu: bool) {
        match layer {
            Layer::Qkv => {
                self.norm(&mut block.norm1);
                block.qkv = self.linear(&block.qkv);
            }
            Layer::Output => {
                let width = self.mean.len();
                self.columns(&mut block.qkv, 2 * width);
                block.output = self.linear(&block.output);
            }
            Layer::Fc1 => {
                self.norm(&mut block.norm2);
                block.fc1 = self.linear(&block.fc1);
            }
            Layer::Fc2 => {
                if swiglu {
                    // Only the scale passes through silu(a)·b; a Level for it is not centred.
                    let width = self.mean.len();
                    self.columns(&mut block.fc1, width);
                } else {
                    let factor = self.scale.iter().map(|s| 1.0 / s).collect();
                    block.levelling = Some(Levelling { mean: self.mean.clone(), factor });
                }
                block.fc2 = self.linear(&block.fc2);
            }
        }
    }

    /// γ/s and (β − mean)/s.
    fn norm(&self, [weight, bias]: &mut [Vec<f32>; 2]) {
        for ((((w, b), mean), scale), _) in weight.iter_mut().zip(bias).zip(&self.mean).zip(&self.scale).zip(0..) {
            *w /= scale;
            *b = (*b - mean) / scale;
        }
    }

    /// The outputs of `linear` from `first` on become x'.
    fn columns(&self, linear: &mut Linear, first: usize) {
        for row in linear.weight.chunks_exact_mut(linear.outputs.max(1)) {
            row[first..].iter_mut().zip(&self.scale).for_each(|(w, scale)| *w /= scale);
        }
        let bias = linear.bias[first..].iter_mut().zip(&self.mean).zip(&self.scale);
        bias.for_each(|((b, mean), scale)| *b = (*b - mean) / scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_levelled_layer_gives_the_same_and_its_inputs_reach_as_far() {
        let weight: Vec<f32> = (0..12).map(|i| [0.5, -0.25, 1.0, -2.0][i % 4] * (1.0 + i as f32 / 12.0)).collect();
        let linear = Linear { inputs: 4, outputs: 3, weight, bias: vec![0.5, -1.0, 2.0] };
        let x = [1.0f32, 40.0, -0.5, 0.25, -1.0, 44.0, 0.5, 0.5, 0.5, 60.0, 0.25, 0.0];
        let range = Range::of(x.chunks_exact(4), 4);
        assert_eq!((range.mean[1], range.low[1], range.high[1]), (48.0, 40.0, 60.0));
        let product = |linear: &Linear, x: &[f32]| -> Vec<f32> {
            let row = |x: &[f32]| -> Vec<f32> {
                (0..3).map(|j| linear.bias[j] + (0..4).map(|k| x[k] * linear.weight[k * 3 + j]).sum::<f32>()).collect()
            };
            x.chunks_exact(4).flat_map(row).collect()
        };
        let expected = product(&linear, &x);
        for (strength, centred) in [(None, true), (Some(0.5), false), (Some(0.8), true)] {
            let level = Level::new(&range, &linear, strength, centred);
            let found = product(&level.linear(&linear), &level.rows(&x));
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() < 1e-3, "{a} {b}");
            }
        }
        let level = Level::new(&range, &linear, Some(1.0), true);
        let levelled = level.rows(&x);
        let reach = |k: usize| levelled.chunks_exact(4).map(|row| row[k].abs()).fold(0.0, f32::max);
        assert!((0..4).all(|k| (reach(k) - reach(0)).abs() < 1e-4));
    }
}
