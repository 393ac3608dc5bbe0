//! A run fitted to a time.

use std::time::{Duration, Instant};

/// Steps that are timed; the first of them, which warms up, is not counted.
pub const MEASURED: usize = 4;

/// How much time there is.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    started: Instant,
    limit: Option<Duration>,
}

impl Budget {
    /// `minutes` from `started`, or no end.
    pub fn new(started: Instant, minutes: Option<f64>) -> Self {
        let limit = minutes.and_then(|m| Duration::try_from_secs_f64(m * 60.0).ok());
        Budget { started, limit }
    }

    /// Whether there is a limit.
    pub fn is_limited(&self) -> bool {
        self.limit.is_some()
    }

    /// How many steps fit when `done` are done and one takes `step` seconds, with a reserve of 3 % and `save` seconds
    /// for the last save. At least `done` + 1.
    pub fn fit(&self, done: usize, step: f64, save: f64) -> usize {
        let Some(limit) = self.limit else { return usize::MAX };
        let left = limit.as_secs_f64() * 0.97 - save - self.started.elapsed().as_secs_f64();
        done + ((left / step.max(1e-6)).max(1.0) as usize)
    }

    /// Whether another step of `step` seconds and a save would be too late.
    pub fn is_spent(&self, step: f64, save: f64) -> bool {
        self.limit.is_some_and(|limit| self.started.elapsed().as_secs_f64() + step + save > limit.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_fit_the_minutes() {
        let now = Instant::now();
        let budget = Budget::new(now, Some(10.0));
        let steps = budget.fit(4, 2.0, 10.0);
        assert!((275..=290).contains(&steps), "{steps}");
        assert!(!budget.is_spent(2.0, 10.0) && budget.is_spent(590.0, 11.0));
        assert_eq!(budget.fit(4, 1e9, 0.0), 5);
        let endless = Budget::new(now, None);
        assert!(!endless.is_limited() && !endless.is_spent(1e9, 1e9));
        assert_eq!(endless.fit(4, 1.0, 0.0), usize::MAX);
    }
}
