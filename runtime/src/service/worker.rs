//! A worker: takes objects from the queue, reads them, leaves results.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::queue::{Ending, Job, Record, State};
use super::results::{self, Written};
use super::{Service, disk, log};
use crate::scan;
use crate::{Error, ErrorKind, Result};

/// An object at which the process ended this often is given up: it may be what ends it.
const CRASHES: u32 = 10;
/// Results of one object need less.
const ROOM: u64 = 100_000_000;
const PAUSE: Duration = Duration::from_secs(1);

/// Works until told to stop.
pub(super) fn run(service: &Service) {
    while !service.stop.is_set() {
        match service.queue.take() {
            Ok(Some(job)) => one(service, &job),
            Ok(None) => service.queue.wait(Duration::from_millis(500)),
            Err(error) => {
                log::error("queue", &error, &[]);
                service.stop.sleep(PAUSE);
            }
        }
    }
}

fn one(service: &Service, job: &Job) {
    let clock = Instant::now();
    let read = catch_unwind(AssertUnwindSafe(|| read(service, job)));
    let read = read.unwrap_or_else(|_| Err(Error::new(ErrorKind::Internal, "reading the scan panicked")));
    let read = read.map_err(nameless);
    let fields = [
        ("object", job.id.into()),
        ("sha256", job.sha256.get(..12).into()),
        ("attempts", job.attempts.into()),
        ("ms", u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX).into()),
    ];
    let error = match read {
        Ok(written) => {
            if settle(service, || service.queue.end(job, &ending(service, job, State::Done, None, &written))) {
                log::info("read", &fields);
            }
            return;
        }
        Err(error) => error,
    };
    let given_up = job.attempts >= service.settings.retry.attempts && !starved(service, &error);
    if for_good(&error) || given_up || job.crashes >= CRASHES {
        match results::write_failure(service.queue.out(), &job.name, &job.shown, &error) {
            Ok(written) => {
                let ending = ending(service, job, State::Dead, Some(error.to_string()), &written);
                if settle(service, || service.queue.end(job, &ending)) {
                    log::error("dead_letter", &error, &fields);
                }
                return;
            }
            // A full disk: the dead letter waits too.
            Err(unwritten) => log::error("result", &nameless(unwritten), &fields),
        }
    }
    let pause = service.settings.retry.after(job.attempts);
    if settle(service, || service.queue.postpone(job, pause, &error.to_string())) {
        log::error("postponed", &error, &fields);
    }
}

/// A watched file's name may be a patient's: it stays out of logs and of the database's errors.
fn nameless(error: Error) -> Error {
    if error.kind() != ErrorKind::Io {
        return error;
    }
    let cause = error.message().rsplit(": ").next().unwrap_or_default().to_string();
    let error_without = Error::new(ErrorKind::Io, format!("its file in the spool or its results: {cause}"));
    match error.remedy() {
        Some(remedy) => error_without.hint(remedy),
        None => error_without,
    }
}

/// Whether the disk is what is in the way: no number of tries makes that the scan's fault.
fn starved(service: &Service, error: &Error) -> bool {
    error.kind() == ErrorKind::Io
        && disk::free(service.queue.out()).is_ok_and(|free| free < service.settings.min_free.max(ROOM))
}

/// Whether another try would end the same way.
fn for_good(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Malformed | ErrorKind::UnsupportedFormat | ErrorKind::Limits)
}

fn read(service: &Service, job: &Job) -> Result<Written> {
    if job.crashes >= CRASHES {
        let message = format!("the program ended {} times while it read this scan", job.crashes);
        return Err(Error::new(ErrorKind::Internal, message).hint("report it, with the file in the spool"));
    }
    let out = service.queue.out();
    if job.crashes > 0
        && let Some(written) = results::find(out, &job.name, &job.sha256, &service.model_sha256)
    {
        return Ok(written);
    }
    let clock = Instant::now();
    let _visit = service.reader.engine().visit();
    let limits = &service.settings.limits;
    let length = fs::metadata(&job.path).map_err(|e| Error::io(&job.path, e))?.len();
    if length > limits.max_file_bytes {
        let message = format!("the file is larger than the limit of {} bytes", limits.max_file_bytes);
        return Err(Error::new(ErrorKind::Limits, message).hint("raise --max-file-mb if the file is to be trusted"));
    }
    let bytes = fs::read(&job.path).map_err(|e| Error::io(&job.path, e))?;
    let scan = scan::decode(&bytes, limits)?;
    if scan.sha256 != job.sha256 {
        return Err(Error::new(ErrorKind::Io, "the file in the spool is not what came in").hint("check the disk"));
    }
    let decoding = clock.elapsed();
    let segments = !service.reader.manifest().heads.segmentation.is_empty();
    let reading = service.reader.read(&job.shown, &scan, decoding, &results::wish(&scan, segments))?;
    results::write(out, &job.name, &bytes, &scan, reading)
}

fn ending(service: &Service, job: &Job, state: State, error: Option<String>, written: &Written) -> Ending {
    let record = Record {
        input_sha256: job.sha256.clone(),
        model_sha256: service.model_sha256.clone(),
        result_sha256: written.json.clone(),
        dicom_sha256: written.dicom.clone(),
    };
    let forward = written.dicom.keys().map(|suffix| format!("{}.{suffix}", job.name));
    Ending { state, error, record, forward: if service.forwards() { forward.collect() } else { vec![] } }
}

/// Tries until the queue has it, or it is time to stop: then the object is still running there, and is read again, or
/// its results found, at the next start.
fn settle(service: &Service, mut change: impl FnMut() -> Result<()>) -> bool {
    loop {
        match change() {
            Ok(()) => return true,
            Err(error) => log::error("queue", &error, &[]),
        }
        if service.stop.is_set() {
            return false;
        }
        service.stop.sleep(PAUSE);
    }
}
