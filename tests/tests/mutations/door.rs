//! What a door must do with whatever comes in.

use std::alloc::System;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use rad_dino_edge::{Error, ErrorKind};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Panics of our own code, also those that the door catches.
static OURS: Mutex<Vec<String>> = Mutex::new(vec![]);

/// A door under test. Allocations and panics are the process's, so there is one at a time.
pub struct Door {
    name: &'static str,
    most: usize,
    answered: usize,
    refused: usize,
    _turn: MutexGuard<'static, ()>,
}

impl Door {
    /// `most`: bytes that one input may have allocated, all in all.
    pub fn new(name: &'static str, most: usize) -> Door {
        static TURN: Mutex<()> = Mutex::new(());
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |info| match info.location().map(|place| place.file()) {
                // files of the workspace are named from its root; those of the tests say why a test failed
                Some(file) if !file.starts_with('/') && !file.starts_with("tests") => {
                    lock(&OURS).push(info.to_string())
                }
                Some(file) if file.starts_with('/') => {}
                _ => before(info),
            }));
        });
        Door { name, most, answered: 0, refused: 0, _turn: lock(&TURN) }
    }

    /// Lets `input` in.
    ///
    /// # Panics
    /// When it breaks the door.
    pub fn try_with<T>(&mut self, input: &[u8], open: impl FnOnce(&[u8]) -> Result<T, Error>) -> Option<T> {
        let region = Region::new(ALLOCATOR);
        let outcome = catch_unwind(AssertUnwindSafe(|| open(input)));
        let change = region.change();
        let panics = std::mem::take(&mut *lock(&OURS));
        let allocated = change.bytes_allocated.saturating_add_signed(change.bytes_reallocated.max(0));
        let complaint = match &outcome {
            _ if !panics.is_empty() => Some(panics.join("; ")),
            Err(_) => Some("a panic got through".into()),
            _ if allocated > self.most => Some(format!("{allocated} bytes allocated")),
            Ok(Err(error)) => complaint(error),
            Ok(Ok(_)) => None,
        };
        if let Some(complaint) = complaint {
            let kept = std::env::temp_dir().join(format!("rad-dino-mutation-{}", self.name.replace(' ', "-")));
            std::fs::write(&kept, input).expect("kept");
            panic!("{}: {complaint}; the input ({} bytes) is kept in {}", self.name, input.len(), kept.display());
        }
        let outcome = outcome.ok()?.ok();
        match outcome {
            Some(_) => self.answered += 1,
            None => self.refused += 1,
        }
        outcome
    }
}

impl Drop for Door {
    /// The damage must be such that some of it is found, and some gets through.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            eprintln!("{}: {} answered, {} refused", self.name, self.answered, self.refused);
            assert!(self.answered > 0 && self.refused > 0, "{}: all inputs met the same end", self.name);
        }
    }
}

/// An error is of the input, and says what to do.
fn complaint(error: &Error) -> Option<String> {
    if error.kind() == ErrorKind::Internal {
        return Some(format!("called a defect of ours: {error}"));
    }
    (error.message().is_empty() || error.remedy().is_none()).then(|| format!("no remedy: {error}"))
}

fn lock<T>(mutex: &'static Mutex<T>) -> MutexGuard<'static, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
