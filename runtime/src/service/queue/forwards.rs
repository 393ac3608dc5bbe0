//! Results on their way to the archive, with a state of their own.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::params;

use super::database::failed;
use super::{Queue, State};
use crate::Result;
use crate::service::clock;

/// A result to be sent on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// Its number.
    pub id: i64,
    /// Number of the object it is about.
    pub object: i64,
    /// Its file.
    pub path: PathBuf,
    /// Tries, this one included.
    pub attempts: u32,
    /// How often the archive would not have it.
    pub refusals: u32,
}

impl Queue {
    /// Up to `limit` results whose time has come, oldest first, now running.
    ///
    /// # Errors
    /// `Io`.
    pub fn take_parcels(&self, limit: usize) -> Result<Vec<Parcel>> {
        let take = "UPDATE forwards SET state = 'running', attempts = attempts + 1 WHERE id IN (
                        SELECT id FROM forwards WHERE state IN ('queued', 'failed') AND not_before <= ?1
                        ORDER BY id LIMIT ?2)
                    RETURNING id, object, file, attempts, refusals";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let inner = self.lock();
        let mut statement = inner.db.prepare(take).map_err(failed)?;
        let parcels = statement.query_map(params![clock::now(), limit], |row| {
            let path = self.out.join(row.get::<_, String>(2)?);
            Ok(Parcel { id: row.get(0)?, object: row.get(1)?, path, attempts: row.get(3)?, refusals: row.get(4)? })
        });
        let mut parcels: Vec<_> = parcels.and_then(Iterator::collect).map_err(failed)?;
        parcels.sort_by_key(|parcel| parcel.id);
        Ok(parcels)
    }

    /// The archive has it.
    ///
    /// # Errors
    /// `Io`.
    pub fn delivered(&self, parcel: &Parcel) -> Result<()> {
        let done = "UPDATE forwards SET state = 'done', finished = ?2, error = NULL WHERE id = ?1";
        self.lock().db.execute(done, params![parcel.id, clock::now()]).map_err(failed)?;
        Ok(())
    }

    /// The archive did not take it; None gives it up. `refused`: it answered, which it does not while it cannot be
    /// reached.
    ///
    /// # Errors
    /// `Io`.
    pub fn undelivered(&self, parcel: &Parcel, pause: Option<Duration>, refused: bool, error: &str) -> Result<()> {
        let update = "UPDATE forwards SET state = ?2, not_before = ?3, error = ?4, refusals = refusals + ?5
                      WHERE id = ?1";
        let state = if pause.is_some() { State::Failed } else { State::Dead };
        let pause = pause.map_or(0, |pause| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        let not_before = clock::now().saturating_add(pause);
        self.lock().db.execute(update, params![parcel.id, state, not_before, error, refused]).map_err(failed)?;
        Ok(())
    }
}
