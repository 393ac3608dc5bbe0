//! Who may come in, and how much memory they may bring: places, slots and bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::Problem;

/// Bytes are counted in pages, because a semaphore hands out at most 2³² at once.
const PAGE: u64 = 4096;

/// Semaphores in order of arrival.
#[derive(Debug)]
pub(super) struct Gate {
    places: Arc<Semaphore>,
    slots: Arc<Semaphore>,
    pages: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    room: usize,
}

/// The right to be in the house.
pub(super) struct Place(#[expect(dead_code, reason = "given back on drop")] OwnedSemaphorePermit);

/// The right to compute.
pub(super) struct Slot(#[expect(dead_code, reason = "given back on drop")] OwnedSemaphorePermit);

/// Memory for a body.
pub(super) struct Memory {
    permit: OwnedSemaphorePermit,
    pages: Arc<Semaphore>,
}

impl Gate {
    /// `bytes`: of all bodies together.
    pub fn new(places: usize, slots: usize, bytes: u64) -> Gate {
        let most = Semaphore::MAX_PERMITS;
        let pages = usize::try_from(bytes.div_ceil(PAGE)).unwrap_or(most);
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(most)));
        Gate {
            places: semaphore(places),
            slots: semaphore(slots),
            pages: semaphore(pages),
            waiting: Arc::default(),
            room: places.min(most),
        }
    }

    /// # Errors
    /// 429 when all are taken.
    pub fn place(&self) -> Result<Place, Problem> {
        self.places.clone().try_acquire_owned().map(Place).map_err(|_| Problem::full())
    }

    /// Waits its turn, first come, first served.
    ///
    /// # Errors
    /// 503 after `time`.
    pub async fn slot(&self, time: Duration) -> Result<Slot, Problem> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = OnDrop(&self.waiting);
        match tokio::time::timeout(time, self.slots.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Slot(permit)),
            _ => Err(Problem::overloaded("no slot became free in time")),
        }
    }

    /// No memory yet; see [`Memory::grow`].
    pub fn memory(&self) -> Result<Memory, Problem> {
        let permit = self.pages.clone().try_acquire_many_owned(0).map_err(|_| no_memory())?;
        Ok(Memory { permit, pages: self.pages.clone() })
    }

    /// Requests in the house.
    pub fn taken(&self) -> usize {
        self.room.saturating_sub(self.places.available_permits())
    }

    /// Requests that wait for a slot.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Memory {
    /// Room for `bytes` in all.
    ///
    /// # Errors
    /// 503 when other bodies take it.
    pub fn grow(&mut self, bytes: u64) -> Result<(), Problem> {
        let wanted = usize::try_from(bytes.div_ceil(PAGE)).map_err(|_| no_memory())?;
        let more = wanted.saturating_sub(self.permit.num_permits());
        if more > 0 {
            let more = u32::try_from(more).map_err(|_| no_memory())?;
            self.permit.merge(self.pages.clone().try_acquire_many_owned(more).map_err(|_| no_memory())?);
        }
        Ok(())
    }
}

fn no_memory() -> Problem {
    Problem::overloaded("other films take all the memory for uploads")
}

struct OnDrop<'a>(&'a AtomicUsize);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_end_and_come_back() {
        let gate = Gate::new(2, 1, 1);
        let (first, second) = (gate.place(), gate.place());
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(gate.place().err().map(|p| p.status.as_u16()), Some(429));
        drop(first);
        assert!(gate.place().is_ok());
        assert_eq!(gate.taken(), 1);
    }

    #[test]
    fn memory_is_shared() {
        let gate = Gate::new(1, 1, 3 * PAGE);
        let (mut a, mut b) = (gate.memory().unwrap(), gate.memory().unwrap());
        a.grow(1).unwrap();
        a.grow(2 * PAGE).unwrap();
        assert!(b.grow(PAGE + 1).is_err());
        b.grow(PAGE).unwrap();
        drop(a);
        b.grow(3 * PAGE).unwrap();
        assert!(b.grow(u64::MAX).is_err());
    }

    #[test]
    fn a_slot_that_stays_taken_is_a_503() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let gate = Gate::new(2, 1, 1);
            let slot = gate.slot(Duration::from_secs(1)).await;
            assert!(slot.is_ok());
            let refused = gate.slot(Duration::from_millis(5)).await;
            assert_eq!(refused.err().map(|p| p.status.as_u16()), Some(503));
            assert_eq!(gate.waiting(), 0);
        });
    }
}
