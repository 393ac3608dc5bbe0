//! Weights of Pillow's bicubic filter along one axis (libImaging/Resample.c: precompute_coeffs, normalize_coeffs_8bpc).

/// Fixed-point bits of a weight: 32 minus 8 for the sample minus 2 for overshoot.
pub(super) const PRECISION_BITS: u32 = 22;
/// A weight w is kept as two 16-bit halves, w = high · 2¹⁵ + low, because 16-bit products vectorise everywhere.
pub(super) const LOW_BITS: u32 = 15;
/// Taps are padded with zeros to a multiple of this.
const LANES: usize = 8;
/// Radius of the filter at scale 1, in pixels.
const SUPPORT: f64 = 2.0;

/// Which input samples an output sample sums, and with which weights.
pub(super) struct Coefficients {
    /// First input sample of each output sample.
    starts: Vec<usize>,
    /// Samples summed, of each output sample.
    lengths: Vec<usize>,
    /// Padded taps of an output sample.
    pub taps: usize,
    /// [outputs, taps], 0 ..= 2¹⁵ − 1
    low: Vec<i16>,
    /// [outputs, taps]
    high: Vec<i16>,
}

/// One output sample's share of [`Coefficients`].
#[derive(Clone, Copy)]
pub(super) struct Taps<'a> {
    pub start: usize,
    /// Taps that are not padding; start + length ≤ size of the input.
    pub length: usize,
    pub low: &'a [i16],
    pub high: &'a [i16],
}

impl Coefficients {
    /// For the output samples `first .. first + count` of `output` in all, from `input` samples.
    pub fn new(input: usize, output: usize, first: usize, count: usize) -> Self {
        let scale = input as f64 / output as f64;
        let filter_scale = scale.max(1.0);
        let support = SUPPORT * filter_scale;
        let mut rows = Vec::with_capacity(count);
        for i in first..first + count {
            let center = (i as f64 + 0.5) * scale;
            // Casts of negative floats saturate at 0, which is the clamp wanted here.
            let start = ((center - support + 0.5) as usize).min(input);
            let end = ((center + support + 0.5) as usize).min(input);
            let weights: Vec<f64> =
                (start..end.max(start)).map(|x| bicubic((x as f64 - center + 0.5) * (1.0 / filter_scale))).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = weights.iter().map(|w| to_fixed(if sum == 0.0 { *w } else { w / sum }));
            rows.push((start, fixed.collect::<Vec<i32>>()));
        }
        let taps = rows.iter().map(|(_, w)| w.len()).max().unwrap_or(0).next_multiple_of(LANES);
        let mut result = Coefficients {
            starts: rows.iter().map(|(start, _)| *start).collect(),
            lengths: rows.iter().map(|(_, w)| w.len()).collect(),
            taps,
            low: vec![0; count * taps],
            high: vec![0; count * taps],
        };
        for (i, (_, weights)) in rows.iter().enumerate() {
            for (j, w) in weights.iter().enumerate() {
                result.low[i * taps + j] = (w & ((1 << LOW_BITS) - 1)) as i16;
                result.high[i * taps + j] = (w >> LOW_BITS) as i16;
            }
        }
        result
    }

    pub fn iter(&self) -> impl Iterator<Item = Taps<'_>> {
        (0..self.starts.len()).map(|i| self.get(i))
    }

    pub fn get(&self, i: usize) -> Taps<'_> {
        let row = i * self.taps..(i + 1) * self.taps;
        let (low, high) = (&self.low[row.clone()], &self.high[row]);
        Taps { start: self.starts[i], length: self.lengths[i], low, high }
    }

    /// The input samples that are summed at all.
    pub fn input_range(&self) -> std::ops::Range<usize> {
        let start = self.starts.first().copied().unwrap_or(0);
        let end = self.starts.iter().zip(&self.lengths).map(|(s, l)| s + l).max().unwrap_or(start);
        start..end
    }
}

/// Keys' cubic with a = −0.5, in Pillow's order of operations.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// Rounded to nearest, halves away from zero.
fn to_fixed(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1 << PRECISION_BITS)) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weight(taps: Taps, i: usize) -> i64 {
        i64::from(taps.high[i]) * (1 << LOW_BITS) + i64::from(taps.low[i])
    }

    #[test]
    fn same_size_is_the_identity() {
        let coefficients = Coefficients::new(20, 20, 3, 9);
        for (i, taps) in coefficients.iter().enumerate() {
            for j in 0..taps.length {
                let expected = if taps.start + j == i + 3 { 1 << PRECISION_BITS } else { 0 };
                assert_eq!(weight(taps, j), expected);
            }
        }
    }

    proptest! {
        #[test]
        fn weights_sum_to_one_and_stay_inside(input in 1usize..3000, output in 1usize..3000, part in 0.0..1.0) {
            let first = (output as f64 * part) as usize;
            let count = (output - first).min(50);
            let coefficients = Coefficients::new(input, output, first, count);
            for taps in coefficients.iter() {
                prop_assert!(taps.length > 0 && taps.start + taps.length <= input);
                let sum: i64 = (0..taps.length).map(|i| weight(taps, i)).sum();
                prop_assert!((sum - (1 << PRECISION_BITS)).abs() <= taps.length as i64);
                prop_assert!(taps.low[taps.length..].iter().chain(&taps.high[taps.length..]).all(|&w| w == 0));
            }
        }

        #[test]
        fn a_window_is_part_of_the_whole(input in 1usize..300, output in 2usize..300, part in 0.0..1.0) {
            let first = (output as f64 * part) as usize;
            let (whole, window) = (Coefficients::new(input, output, 0, output),
                                   Coefficients::new(input, output, first, output - first));
            for (i, taps) in window.iter().enumerate() {
                let same = whole.get(first + i);
                prop_assert_eq!((taps.start, taps.length), (same.start, same.length));
                prop_assert_eq!(&taps.low[..taps.length], &same.low[..taps.length]);
                prop_assert_eq!(&taps.high[..taps.length], &same.high[..taps.length]);
            }
        }
    }
}
