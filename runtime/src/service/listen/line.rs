//! Lines: the open connections, each with the time until which it has to move on.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A connection as the listening thread sees it.
#[derive(Debug)]
pub(super) struct Line {
    socket: TcpStream,
    deadline: Mutex<Instant>,
    /// An object is on its way.
    busy: AtomicBool,
    cut: AtomicBool,
}

impl Line {
    /// The peer has `time` to move on.
    pub fn expect(&self, busy: bool, time: Duration) {
        self.busy.store(busy, Ordering::SeqCst);
        *lock(&self.deadline) = Instant::now() + time;
    }

    /// Whether it was cut off for being late.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// All lines.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<Vec<Arc<Line>>>);

impl Lines {
    pub fn add(&self, stream: &TcpStream, time: Duration) -> io::Result<Arc<Line>> {
        let line = Arc::new(Line {
            socket: stream.try_clone()?,
            deadline: Mutex::new(Instant::now() + time),
            busy: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        });
        lock(&self.0).push(line.clone());
        Ok(line)
    }

    pub fn remove(&self, line: &Arc<Line>) {
        lock(&self.0).retain(|other| !Arc::ptr_eq(other, line));
    }

    pub fn len(&self) -> usize {
        lock(&self.0).len()
    }

    /// Cuts those whose time is up; when `stopping`, ends the reading of those that wait for nothing.
    pub fn check(&self, stopping: bool) {
        let now = Instant::now();
        for line in lock(&self.0).iter() {
            if now >= *lock(&line.deadline) {
                line.cut();
            } else if stopping && !line.busy.load(Ordering::SeqCst) {
                // Its thread wakes, and takes leave.
                let _ = line.socket.shutdown(Shutdown::Read);
            }
        }
    }

    /// Cuts all.
    pub fn cut(&self) {
        lock(&self.0).iter().for_each(|line| line.cut());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
