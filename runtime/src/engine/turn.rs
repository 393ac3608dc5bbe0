//! A lock that is had in the order in which it was asked for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// First come, first served: with the system's mutex, who lets go may have it again before those who sleep.
#[derive(Debug, Default)]
pub(super) struct Turn {
    queue: Mutex<Queue>,
    next: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Numbers given out.
    asked: u64,
    /// Numbers done with.
    served: u64,
}

/// One's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Held<'a>(&'a Turn);

impl Turn {
    /// Waits for one's turn.
    pub fn take(&self) -> Held<'_> {
        let mut queue = self.queue();
        let number = queue.asked;
        queue.asked += 1;
        while queue.served != number {
            queue = self.next.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Held(self)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.queue().served += 1;
        self.0.next.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_the_order_of_asking() {
        let (turn, order) = (Turn::default(), Mutex::new(vec![]));
        let (turn, order) = (&turn, &order);
        std::thread::scope(|scope| {
            let first = turn.take();
            for number in 0..6 {
                scope.spawn(move || {
                    let _held = turn.take();
                    order.lock().unwrap().push(number);
                });
                while turn.queue().asked < number + 2 {
                    std::thread::yield_now();
                }
            }
            assert!(order.lock().unwrap().is_empty());
            drop(first);
        });
        assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_panic_does_not_keep_the_turn() {
        let turn = Turn::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = turn.take();
            panic!("in a pass");
        }));
        assert!(panicked.is_err());
        drop(turn.take());
    }
}
