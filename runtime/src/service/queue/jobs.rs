//! Objects on their way from queued to done.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::{OptionalExtension, params};

use super::database::failed;
use super::{Queue, Record, State};
use crate::Result;
use crate::service::clock;

/// An object to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: i64,
    /// Its file.
    pub path: PathBuf,
    /// Of its results.
    pub name: String,
    /// As `input.path` in results.
    pub shown: String,
    /// Of its bytes.
    pub sha256: String,
    /// Tries, this one included.
    pub attempts: u32,
    /// How often the process ended while reading it.
    pub crashes: u32,
}

/// How an object ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// `Done` or `Dead`.
    pub state: State,
    /// Why, for `Dead`.
    pub error: Option<String>,
    /// For the audit.
    pub record: Record,
    /// Results to be sent on: names of files in the folder of results.
    pub forward: Vec<String>,
}

impl Queue {
    /// The next object whose time has come, now running. Those that a crash cut off come last; of one name the oldest
    /// comes first, and the next not before that one ended.
    ///
    /// # Errors
    /// `Io`.
    pub fn take(&self) -> Result<Option<Job>> {
        let take = "UPDATE objects SET state = 'running', attempts = attempts + 1 WHERE id = (
                        SELECT id FROM objects AS next
                        WHERE state IN ('queued', 'failed') AND not_before <= ?1 AND NOT EXISTS (
                            SELECT 1 FROM objects AS earlier WHERE earlier.name = next.name AND earlier.id < next.id
                            AND earlier.state IN ('queued', 'failed', 'running'))
                        ORDER BY crashes, id LIMIT 1)
                    RETURNING id, spool, name, shown, sha256, attempts, crashes";
        let inner = self.lock();
        let job = inner.db.query_row(take, [clock::now()], |row| {
            let path = self.spool.join(row.get::<_, String>(1)?);
            let (id, name, shown, sha256) = (row.get(0)?, row.get(2)?, row.get(3)?, row.get(4)?);
            Ok(Job { id, path, name, shown, sha256, attempts: row.get(5)?, crashes: row.get(6)? })
        });
        job.optional().map_err(failed)
    }

    /// `job` ended. Its audit line and what is to be sent on are written in the same transaction.
    ///
    /// # Errors
    /// `Io`; then it is still running.
    pub fn end(&self, job: &Job, ending: &Ending) -> Result<()> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let transaction = inner.db.transaction().map_err(failed)?;
        let end = "UPDATE objects SET state = ?2, finished = ?3, error = ?4 WHERE id = ?1";
        transaction.execute(end, params![job.id, ending.state, clock::now(), ending.error]).map_err(failed)?;
        for file in &ending.forward {
            let forward = "INSERT INTO forwards (object, file, state) VALUES (?1, ?2, 'queued')
                           ON CONFLICT (object, file) DO UPDATE SET state = 'queued', attempts = 0, not_before = 0";
            transaction.execute(forward, params![job.id, file]).map_err(failed)?;
        }
        if let Some(audit) = &inner.audit {
            audit.add(&transaction, job.id, ending.state, &ending.record)?;
        }
        transaction.commit().map_err(failed)?;
        if let Some(audit) = &mut inner.audit {
            audit.flush(&inner.db)?;
        }
        Ok(())
    }

    /// `job` failed and is to be tried again after `pause`.
    ///
    /// # Errors
    /// `Io`; then it is still running.
    pub fn postpone(&self, job: &Job, pause: Duration, error: &str) -> Result<()> {
        let failing = "UPDATE objects SET state = 'failed', not_before = ?2, error = ?3 WHERE id = ?1";
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        let not_before = clock::now().saturating_add(pause);
        self.lock().db.execute(failing, params![job.id, not_before, error]).map_err(failed)?;
        Ok(())
    }
}
