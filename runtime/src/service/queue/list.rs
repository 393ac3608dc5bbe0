//! Looking at the queue.

use rusqlite::params;
use serde::Serialize;

use super::database::failed;
use super::{Queue, State};
use crate::Result;

/// An object as a work list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Of its results: SOP Instance UID, or the stem of a watched file.
    pub name: String,
    /// Where it stands.
    pub state: State,
    /// Milliseconds since 1970.
    pub received: i64,
    /// Milliseconds since 1970.
    pub finished: Option<i64>,
    /// Tries so far.
    pub attempts: u32,
    /// Of the last try.
    pub error: Option<String>,
}

/// How many objects stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Wait for their first try.
    pub queued: u64,
    /// Are being read.
    pub running: u64,
    /// Have results.
    pub done: u64,
    /// Wait for another try.
    pub failed: u64,
    /// Given up.
    pub dead: u64,
    /// Results not sent on yet.
    pub unsent: u64,
    /// Results that the archive refused for good.
    pub undeliverable: u64,
}

impl Queue {
    /// The newest `limit` objects, newest first.
    ///
    /// # Errors
    /// `Io`.
    pub fn list(&self, limit: usize) -> Result<Vec<Entry>> {
        let newest = "SELECT name, state, received, finished, attempts, error FROM objects ORDER BY id DESC LIMIT ?1";
        let inner = self.lock();
        let mut statement = inner.db.prepare(newest).map_err(failed)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let entries = statement.query_map(params![limit], |row| {
            let (name, state, received, finished) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            Ok(Entry { name, state, received, finished, attempts: row.get(4)?, error: row.get(5)? })
        });
        entries.and_then(Iterator::collect).map_err(failed)
    }

    /// How many objects stand where.
    ///
    /// # Errors
    /// `Io`.
    pub fn counts(&self) -> Result<Counts> {
        let inner = self.lock();
        let mut counts = Counts::default();
        let mut statement = inner.db.prepare("SELECT state, COUNT(*) FROM objects GROUP BY state").map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, State>(0)?, row.get::<_, i64>(1)?)));
        for row in rows.map_err(failed)? {
            let (state, count) = row.map_err(failed)?;
            let count = u64::try_from(count).unwrap_or(0);
            match state {
                State::Queued => counts.queued = count,
                State::Running => counts.running = count,
                State::Done => counts.done = count,
                State::Failed => counts.failed = count,
                State::Dead => counts.dead = count,
            }
        }
        let sending =
            "SELECT COALESCE(SUM(state IN ('queued', 'failed', 'running')), 0), COALESCE(SUM(state = 'dead'), 0)
                       FROM forwards";
        let (unsent, dead): (i64, i64) =
            inner.db.query_row(sending, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        counts.unsent = u64::try_from(unsent).unwrap_or(0);
        counts.undeliverable = u64::try_from(dead).unwrap_or(0);
        Ok(counts)
    }

    /// How many objects wait to be read.
    ///
    /// # Errors
    /// `Io`.
    pub fn waiting(&self) -> Result<u64> {
        let waiting = "SELECT COUNT(*) FROM objects WHERE state IN ('queued', 'failed')";
        let waiting: i64 = self.lock().db.query_row(waiting, [], |row| row.get(0)).map_err(failed)?;
        Ok(u64::try_from(waiting).unwrap_or(0))
    }
}
