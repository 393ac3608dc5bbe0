//! A Prometheus histogram of seconds.

use std::fmt::Write;

/// Upper bounds, seconds.
const BOUNDS: [f64; 12] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];

/// How often how long.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Histogram {
    pub fn add(&mut self, seconds: f64) {
        if let Some(count) = BOUNDS.iter().position(|bound| seconds <= *bound).and_then(|i| self.counts.get_mut(i)) {
            *count += 1;
        }
        self.count += 1;
        self.sum += seconds;
    }

    /// The lines of `name`; buckets are cumulative.
    pub fn write(&self, text: &mut String, name: &str) {
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(self.counts) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let Histogram { count, sum, .. } = self;
        let _ = write!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_last_one_is_all() {
        let mut histogram = Histogram::default();
        for seconds in [0.005, 0.006, 0.3, 99.0] {
            histogram.add(seconds);
        }
        let mut text = String::new();
        histogram.write(&mut text, "x");
        let value = |line: &str| text.lines().find_map(|l| l.strip_prefix(line)).unwrap().trim().to_string();
        assert_eq!(value("x_bucket{le=\"0.005\"}"), "1");
        assert_eq!(value("x_bucket{le=\"0.01\"}"), "2");
        assert_eq!(value("x_bucket{le=\"0.2\"}"), "2");
        assert_eq!(value("x_bucket{le=\"30\"}"), "3");
        assert_eq!(value("x_bucket{le=\"+Inf\"}"), "4");
        assert_eq!(value("x_count"), "4");
    }
}
