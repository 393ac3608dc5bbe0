//! Whose turn it is: passes begin in the order in which they were asked for, one on all threads, or two on half of them each
//! where several come.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// First come, first served: with the system's mutex, who lets go may have it again before those who sleep.
#[derive(Debug, Default)]
pub(super) struct Turn {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Numbers given out.
    asked: u64,
    /// Numbers whose turn has begun.
    begun: u64,
    /// Whether someone has everything.
    whole: bool,
    /// Whether someone has this half.
    halves: [bool; 2],
    /// Those who said that they will ask.
    visitors: u64,
}

/// What one has in one's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// Everything; nobody else has anything.
    Whole,
    /// One of the two halves.
    Half(usize),
}

/// A visit, until it is dropped: see [`Turn::visit`].
#[derive(Debug)]
pub struct Visit<'a>(&'a Turn);

/// One's turn, until it is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    turn: &'a Turn,
    /// Of what.
    pub share: Share,
}

impl Queue {
    /// What the next in line may have now. Two halves do more together than one whole does in the same time, one after
    /// another; who is alone is served sooner by the whole.
    fn free(&self, divisible: bool) -> Option<Share> {
        let several = self.asked > self.begun + 1 || self.visitors > 1;
        match (self.whole, self.halves) {
            (true, _) => None,
            (false, [false, false]) if several && divisible => Some(Share::Half(0)),
            (false, [false, false]) => Some(Share::Whole),
            (false, [false, true]) if divisible => Some(Share::Half(0)),
            (false, [true, false]) if divisible => Some(Share::Half(1)),
            _ => None,
        }
    }

    fn taken(&mut self, share: Share) -> &mut bool {
        match share {
            Share::Whole => &mut self.whole,
            Share::Half(half) => &mut self.halves[half & 1],
        }
    }
}

impl Turn {
    /// Says that one will ask soon: of several visitors each gets a half, and none waits for another's whole.
    pub fn visit(&self) -> Visit<'_> {
        self.queue().visitors += 1;
        Visit(self)
    }

    /// Waits for one's turn; half of everything will do if `divisible`.
    pub fn take(&self, divisible: bool) -> Held<'_> {
        let mut queue = self.queue();
        let number = queue.asked;
        queue.asked += 1;
        let share = loop {
            match queue.free(divisible) {
                Some(share) if queue.begun == number => break share,
                _ => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        queue.begun += 1;
        *queue.taken(share) = true;
        drop(queue);
        // the other half may be free for the next
        self.changed.notify_all();
        Held { turn: self, share }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        self.0.queue().visitors -= 1;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        *self.turn.queue().taken(self.share) = false;
        self.turn.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares that six get who ask one after another while `first` is held.
    fn shares(turn: &Turn, divisible: impl Fn(usize) -> bool + Sync) -> Vec<(usize, Share)> {
        let order = Mutex::new(vec![]);
        let (order_of, divisible) = (&order, &divisible);
        std::thread::scope(|scope| {
            let first = turn.take(true);
            assert_eq!(first.share, Share::Whole, "alone");
            for number in 0..6 {
                scope.spawn(move || {
                    let held = turn.take(divisible(number));
                    order_of.lock().unwrap().push((number, held.share));
                    std::thread::sleep(std::time::Duration::from_millis(5));
                });
                while turn.queue().asked < number as u64 + 2 {
                    std::thread::yield_now();
                }
            }
            assert!(order_of.lock().unwrap().is_empty());
            drop(first);
        });
        order.into_inner().unwrap()
    }

    #[test]
    fn turns_begin_in_the_order_of_asking() {
        let whole = shares(&Turn::default(), |_| false);
        assert_eq!(whole, (0..6).map(|n| (n, Share::Whole)).collect::<Vec<_>>());
        let turn = Turn::default();
        let mut numbers: Vec<usize> = shares(&turn, |_| true).into_iter().map(|(n, _)| n).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        let queue = turn.queue();
        assert_eq!((queue.whole, queue.halves), (false, [false, false]));
    }

    #[test]
    fn halves_go_to_those_who_wait_together() {
        let shares = shares(&Turn::default(), |_| true);
        assert!(matches!(shares[0].1, Share::Half(_)) && matches!(shares[1].1, Share::Half(_)), "{shares:?}");
        assert_ne!(shares[0].1, shares[1].1);
    }

    #[test]
    fn visitors_share() {
        let turn = Turn::default();
        let first = turn.visit();
        assert_eq!(turn.take(true).share, Share::Whole, "the only one");
        let second = turn.visit();
        assert_eq!(turn.take(false).share, Share::Whole, "takes no half");
        let half = turn.take(true);
        assert_eq!((half.share, turn.take(true).share), (Share::Half(0), Share::Half(1)));
        drop((second, half));
        assert_eq!(turn.take(true).share, Share::Whole);
        drop(first);
    }

    #[test]
    fn the_whole_is_had_alone() {
        let (turn, inside) = (Turn::default(), Mutex::new((0, 0)));
        let (turn, inside) = (&turn, &inside);
        std::thread::scope(|scope| {
            for number in 0..24 {
                scope.spawn(move || {
                    let held = turn.take(number % 3 > 0);
                    let add = |by: i32| {
                        let mut inside = inside.lock().unwrap();
                        match held.share {
                            Share::Whole => inside.0 += by,
                            Share::Half(_) => inside.1 += by,
                        }
                        *inside
                    };
                    let (whole, halves) = add(1);
                    assert!(whole == 0 && halves <= 2 || (whole, halves) == (1, 0), "{whole} {halves}");
                    std::thread::sleep(std::time::Duration::from_millis(1));
                    add(-1);
                });
            }
        });
        assert_eq!(*inside.lock().unwrap(), (0, 0));
    }

    #[test]
    fn a_panic_does_not_keep_the_turn() {
        let turn = Turn::default();
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _held = turn.take(true);
            panic!("in a pass");
        }));
        assert!(panicked.is_err());
        drop(turn.take(false));
    }
}
