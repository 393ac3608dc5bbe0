//! When to try again.

use std::time::Duration;

/// Back-off: `first`, then twice as long each time, up to `longest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// After the first failure.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
    /// Tries before a dead letter.
    pub attempts: u32,
}

impl Default for Retry {
    /// 5 s, doubled up to 10 minutes, 5 tries.
    fn default() -> Self {
        Retry { first: Duration::from_secs(5), longest: Duration::from_secs(600), attempts: 5 }
    }
}

impl Retry {
    /// How long to wait after `attempts` failures.
    pub fn after(&self, attempts: u32) -> Duration {
        let doubled = 2u32.checked_pow(attempts.saturating_sub(1)).and_then(|factor| self.first.checked_mul(factor));
        doubled.unwrap_or(self.longest).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let retry = Retry { first: Duration::from_secs(5), longest: Duration::from_secs(60), attempts: 9 };
        let seconds: Vec<_> = [1, 2, 3, 4, 5, 6, 100, u32::MAX].map(|n| retry.after(n).as_secs()).into();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60, 60, 60]);
    }
}
