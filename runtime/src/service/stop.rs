//! The wish to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::{Error, ErrorKind, Result};

/// Set once, seen by every thread.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Set by SIGTERM and SIGINT; a second one ends the process at once, with 130.
    ///
    /// # Errors
    /// `Internal` when the system refuses the handlers.
    pub fn on_signals() -> Result<Self> {
        let stop = Stop::default();
        for signal in [SIGTERM, SIGINT] {
            // In this order: the first signal finds the flag unset.
            flag::register_conditional_shutdown(signal, 130, stop.0.clone())
                .and_then(|_| flag::register(signal, stop.0.clone()))
                .map_err(|e| Error::new(ErrorKind::Internal, format!("no handler for signal {signal}: {e}")))?;
        }
        Ok(stop)
    }

    /// From now on.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Sleeps, but not longer than until the wish to stop.
    pub fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_set() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
    }
}
