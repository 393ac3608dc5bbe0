//! A running service: workers, forwarding and housekeeping around whatever takes objects in.

use std::thread;
use std::time::Duration;

use super::{Queue, Settings, Stop, clock, disk, log, worker};
use crate::Result;
use crate::reader::Reader;

const HOUR: Duration = Duration::from_secs(3600);

/// What the threads of a service share.
#[derive(Debug)]
pub struct Service {
    /// What waits.
    pub queue: Queue,
    /// What was asked for.
    pub settings: Settings,
    /// When to end.
    pub stop: Stop,
    /// Of the model file.
    pub model_sha256: String,
    /// The model.
    pub reader: Reader,
}

impl Service {
    /// Over a queue and a model.
    pub fn new(queue: Queue, reader: Reader, settings: Settings, stop: Stop) -> Self {
        let model_sha256 = reader.engine().sha256().to_string();
        Service { queue, settings, stop, model_sha256, reader }
    }

    /// Whether results are sent on.
    pub(super) fn forwards(&self) -> bool {
        #[cfg(feature = "dicom")]
        return self.settings.forward.is_some();
        #[cfg(not(feature = "dicom"))]
        false
    }

    /// Why nothing more can be taken in now; None when it can.
    ///
    /// # Errors
    /// `Io`.
    pub fn full(&self) -> Result<Option<&'static str>> {
        if self.queue.waiting()? >= self.settings.max_queue {
            return Ok(Some("the queue is full"));
        }
        Ok((disk::free(self.queue.out())? < self.settings.min_free).then_some("the disk is nearly full"))
    }
}

/// Sets the wish to stop however its scope ends, so that the other threads end too.
struct Ending<'a>(&'a Stop);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Runs `front`, which takes objects in until it is told to stop, with everything else beside it. What is being read
/// when the wish to stop comes is finished.
///
/// # Errors
/// Those of `front`.
pub fn run<T>(service: &Service, front: impl FnOnce(&Service) -> Result<T>) -> Result<T> {
    if !service.forwards()
        && let Ok(counts) = service.queue.counts()
        && counts.unsent > 0
    {
        // They are kept, also from retention.
        log::warn("unsent", &[("results", counts.unsent.into()), ("why", "no --forward is named any more".into())]);
    }
    thread::scope(|scope| {
        for _ in 0..service.settings.workers.max(1) {
            scope.spawn(|| worker::run(service));
        }
        #[cfg(feature = "dicom")]
        if let Some(peer) = &service.settings.forward {
            scope.spawn(move || super::forward::run(service, peer));
        }
        if let Some(keep) = service.settings.keep {
            scope.spawn(move || retain(service, keep));
        }
        let _ending = Ending(&service.stop);
        front(service)
    })
}

fn retain(service: &Service, keep: Duration) {
    while !service.stop.is_set() {
        let age = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        match service.queue.purge(clock::now().saturating_sub(age)) {
            Ok(0) => {}
            Ok(purged) => log::info("purged", &[("objects", purged.into())]),
            Err(e) => log::error("purge", &e, &[]),
        }
        service.stop.sleep(HOUR);
    }
}
