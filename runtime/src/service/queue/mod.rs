//! The durable queue: what came in, where it stands, what became of it. One process owns it; others may look.
//!
//! Beside the UID, or the name that the user gave a watched file, it holds nothing about a patient.

mod audit;
mod database;
mod forwards;
mod jobs;
mod list;
mod purge;
mod recover;
mod state;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::clock;
use super::names::Origin;
use super::spool::{Incoming, Sealed, sweep};
use crate::{Error, ErrorKind, Result};

use audit::Audit;
pub use audit::Record;
use database::failed;
pub use forwards::Parcel;
pub use jobs::{Ending, Job};
pub use list::{Counts, Entry};
pub use state::State;

/// The queue of one folder.
#[derive(Debug)]
pub struct Queue {
    out: PathBuf,
    spool: PathBuf,
    inner: Mutex<Inner>,
    arrived: Condvar,
    /// Held for as long as this process owns the folder; None for who only looks.
    _owner: Option<File>,
}

#[derive(Debug)]
struct Inner {
    db: Connection,
    audit: Option<Audit>,
}

/// What became of something handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It waits under this number.
    New(i64),
    /// The same was handed in before, and stands there.
    Known(i64, State),
    /// Something else was handed in under this UID before, and stays what counts.
    Other(i64, State),
}

impl Queue {
    /// Opens or makes the queue in the folder `out`, and finds its place again: what was running is queued once more,
    /// what is in the spool but not in the queue is queued.
    ///
    /// # Errors
    /// `Usage` when another process owns the folder, `Io`.
    pub fn open(out: &Path) -> Result<Queue> {
        let spool = out.join("spool");
        // Folders that are made here are for this user and its group, the films for this user alone.
        for (folder, mode) in [(out, 0o750), (spool.as_path(), 0o700)] {
            DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(|e| Error::io(folder, e))?;
        }
        let owner = own(out)?;
        sweep(&spool)?;
        sweep(out)?;
        let db = database::open(&out.join("queue.sqlite"))?;
        let audit = Audit::open(&out.join("audit.jsonl"), &db)?;
        audit::sync_folder(out)?;
        let queue = Queue {
            out: out.to_path_buf(),
            spool,
            inner: Mutex::new(Inner { db, audit: Some(audit) }),
            arrived: Condvar::new(),
            _owner: Some(owner),
        };
        queue.recover()?;
        Ok(queue)
    }

    /// Opens the queue in the folder `out` to look at it, while `watch` or `listen` works on it.
    ///
    /// # Errors
    /// `Io` when there is none, `Usage` when it is another version's.
    pub fn view(out: &Path) -> Result<Queue> {
        let db = database::view(&out.join("queue.sqlite"))?;
        Ok(Queue {
            out: out.to_path_buf(),
            spool: out.join("spool"),
            inner: Mutex::new(Inner { db, audit: None }),
            arrived: Condvar::new(),
            _owner: None,
        })
    }

    /// Where results go.
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// Where what came in is kept.
    pub fn spool(&self) -> &Path {
        &self.spool
    }

    /// A new file in the spool, to be handed in with [`Queue::accept`].
    ///
    /// # Errors
    /// `Io`.
    pub fn incoming(&self) -> Result<Incoming> {
        Incoming::create(&self.spool)
    }

    /// Takes in a whole object: once this returns, it is on disk under its own name and in the queue. `stamp` (of a
    /// watched file) tells whether the file has changed since.
    ///
    /// An object that was handed in before is not queued again. One that ended as a dead letter may come again with
    /// other bytes; a watched file may return to earlier bytes.
    ///
    /// # Errors
    /// `Io`; then nothing was taken in.
    pub fn accept(&self, sealed: Sealed, origin: &Origin, stamp: &str) -> Result<Accepted> {
        let inner = self.lock();
        let known = "SELECT id, state, sha256, id < (SELECT MAX(id) FROM objects WHERE source = ?2)
                     FROM objects WHERE spool = ?1";
        let known: Option<(i64, State, String, bool)> = inner
            .db
            .query_row(known, params![origin.spool, origin.source], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()
            .map_err(failed)?;
        if let Some((id, state, sha256, older)) = known {
            let same = sha256 == sealed.sha256;
            let again = older && state != State::Running || state == State::Dead && !same;
            if !again {
                inner.db.execute("UPDATE objects SET stamp = ?2 WHERE id = ?1", params![id, stamp]).map_err(failed)?;
                return Ok(if same { Accepted::Known(id, state) } else { Accepted::Other(id, state) });
            }
            inner.db.execute("DELETE FROM objects WHERE id = ?1", [id]).map_err(failed)?;
        }
        let target = self.spool.join(&origin.spool);
        let (sha256, bytes) = (sealed.sha256.clone(), sealed.bytes);
        sealed.rename(&target)?;
        match inner.insert(origin, stamp, &sha256, bytes) {
            Ok(id) => {
                self.arrived.notify_one();
                Ok(Accepted::New(id))
            }
            Err(error) => {
                // Not taken in, so it must not come back with the next start.
                let _ = fs::remove_file(&target);
                Err(error)
            }
        }
    }

    /// Whether the watched file `source` was taken in with this `stamp`.
    ///
    /// # Errors
    /// `Io`.
    pub fn knows(&self, source: &str, stamp: &str) -> Result<bool> {
        let known = "SELECT EXISTS (SELECT 1 FROM objects WHERE source = ?1 AND stamp = ?2)";
        self.lock().db.query_row(known, [source, stamp], |row| row.get(0)).map_err(failed)
    }

    /// Waits until something arrives, but not longer than `time`.
    pub fn wait(&self, time: Duration) {
        let guard = self.lock();
        drop(self.arrived.wait_timeout(guard, time));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // SQLite rolls back what a panicking thread left open.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn insert(&self, origin: &Origin, stamp: &str, sha256: &str, bytes: u64) -> Result<i64> {
        let name = self.name(origin)?;
        let insert = "INSERT INTO objects (spool, source, stamp, name, shown, sha256, bytes, state, received)
                      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let Origin { spool, source, shown, .. } = origin;
        let values = params![spool, source, stamp, name, shown, sha256, bytes, State::Queued, clock::now()];
        self.db.execute(insert, values).map_err(failed)?;
        Ok(self.db.last_insert_rowid())
    }

    /// The name of the results: the one this source has, else the first that no other source has.
    fn name(&self, origin: &Origin) -> Result<String> {
        let own = "SELECT name FROM objects WHERE source = ?1 ORDER BY id DESC LIMIT 1";
        if let Some(name) = self.db.query_row(own, [&origin.source], |row| row.get(0)).optional().map_err(failed)? {
            return Ok(name);
        }
        let [first, second, last] = origin.names();
        for name in [first, second] {
            let taken = "SELECT EXISTS (SELECT 1 FROM objects WHERE name = ?1)";
            if !self.db.query_row(taken, [&name], |row| row.get::<_, bool>(0)).map_err(failed)? {
                return Ok(name);
            }
        }
        Ok(last)
    }
}

/// A lock on the folder, which the system takes back however the process ends.
fn own(out: &Path) -> Result<File> {
    let path = out.join(".owner");
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(|e| Error::io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::new(ErrorKind::Usage, format!("{}: another watch or listen owns this folder", out.display()))
                .hint("give each its own --out"))
        }
        Err(TryLockError::Error(e)) => Err(Error::io(&path, e)),
    }
}
