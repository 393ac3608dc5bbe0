//! Values that change with the iteration.

/// Warm-up, then a cosine: DINOv2's CosineScheduler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cosine {
    /// Value after the warm-up.
    pub base: f64,
    /// Value at the end and beyond.
    pub end: f64,
    /// Value at the start of the warm-up.
    pub start: f64,
    /// Iterations at 0 before everything.
    pub freeze: usize,
    /// Iterations of the linear warm-up.
    pub warmup: usize,
    /// All iterations.
    pub total: usize,
}

impl Cosine {
    /// From `base` to `end` without warm-up.
    pub fn plain(base: f64, end: f64, total: usize) -> Self {
        Cosine { base, end, start: base, freeze: 0, warmup: 0, total }
    }

    /// The value at iteration `i`: 0 while frozen; linspace(start, base, warmup); then
    /// end + ½(base − end)(1 + cos(π·j / length)); `end` from `total` on.
    pub fn at(&self, i: usize) -> f64 {
        if i >= self.total {
            return self.end;
        }
        let Some(i) = i.checked_sub(self.freeze) else { return 0.0 };
        if i < self.warmup {
            let steps = self.warmup.saturating_sub(1).max(1) as f64;
            return self.start + (self.base - self.start) * i as f64 / steps;
        }
        let length = self.total.saturating_sub(self.freeze + self.warmup).max(1) as f64;
        let phase = std::f64::consts::PI * (i - self.warmup) as f64 / length;
        self.end + 0.5 * (self.base - self.end) * (1.0 + phase.cos())
    }
}

/// A straight line over the first iterations, then constant: the teacher's temperature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// First value.
    pub start: f64,
    /// Last value.
    pub end: f64,
    /// Iterations until the last value.
    pub length: usize,
}

impl Linear {
    /// The value at iteration `i`: linspace(start, end, length), then `end`.
    pub fn at(&self, i: usize) -> f64 {
        if i + 1 >= self.length {
            return self.end;
        }
        self.start + (self.end - self.start) * i as f64 / (self.length - 1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_is_dinov2s_array() {
        // numpy: concatenate(zeros(2), linspace(0, 1, 4), 0.1 + 0.45 * (1 + cos(pi * arange(4) / 4)))
        let expected = [0.0, 0.0, 0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0, 1.0, 0.868_198_051_5, 0.55, 0.231_801_948_5];
        let cosine = Cosine { base: 1.0, end: 0.1, start: 0.0, freeze: 2, warmup: 4, total: 10 };
        for (i, want) in expected.into_iter().enumerate() {
            assert!((cosine.at(i) - want).abs() < 1e-9, "{i}: {}", cosine.at(i));
        }
        assert_eq!((cosine.at(10), cosine.at(1000)), (0.1, 0.1));
        assert_eq!(Cosine::plain(0.9, 1.0, 0).at(0), 1.0);
        assert_eq!(Cosine::plain(0.9, 1.0, 5).at(0), 0.9);
    }

    #[test]
    fn linear_ends_where_it_should() {
        let line = Linear { start: 0.04, end: 0.07, length: 4 };
        let values: Vec<f64> = (0..6).map(|i| (line.at(i) * 1e6).round() / 1e6).collect();
        assert_eq!(values, [0.04, 0.05, 0.06, 0.07, 0.07, 0.07]);
        assert_eq!(Linear { start: 0.04, end: 0.07, length: 0 }.at(0), 0.07);
    }
}
