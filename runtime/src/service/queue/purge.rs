//! Retention: what has ended long ago goes.

use std::fs;
use std::io;

use rusqlite::params;

use super::Queue;
use super::audit::sync_folder;
use super::database::failed;
use crate::service::results::SUFFIXES;
use crate::{Error, Result};

/// Objects a transaction, so that senders need not wait long.
const BATCH: i64 = 200;

impl Queue {
    /// Removes what ended before `time` (milliseconds since 1970): the file in the spool, its results, and its entry;
    /// results that are still to be sent on stay. Of a watched file the entry stays, or it would be read again. How many
    /// objects went.
    ///
    /// # Errors
    /// `Io`.
    pub fn purge(&self, time: i64) -> Result<usize> {
        let mut purged = 0;
        loop {
            let batch = self.purge_batch(time)?;
            purged += batch;
            if batch == 0 {
                return Ok(purged);
            }
        }
    }

    fn purge_batch(&self, time: i64) -> Result<usize> {
        let mut inner = self.lock();
        let old = "SELECT id, spool, name, EXISTS (
                       SELECT 1 FROM objects AS later WHERE later.name = objects.name AND later.id > objects.id)
                   FROM objects WHERE state IN ('done', 'dead') AND purged = 0 AND finished < ?1 AND NOT EXISTS (
                       SELECT 1 FROM forwards WHERE object = objects.id AND state IN ('queued', 'failed', 'running'))
                   ORDER BY finished LIMIT ?2";
        let mut statement = inner.db.prepare(old).map_err(failed)?;
        let rows = statement.query_map(params![time, BATCH], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get::<_, bool>(3)?))
        });
        let rows: Vec<_> = rows.and_then(Iterator::collect).map_err(failed)?;
        drop(statement);
        for (_, spool, name, followed) in &rows {
            remove(&self.spool.join(spool))?;
            // The results by this name are about a later object.
            if !followed {
                for suffix in SUFFIXES {
                    remove(&self.out.join(format!("{name}.{suffix}")))?;
                }
            }
        }
        if !rows.is_empty() {
            // Before the entries go: a file without an entry would be queued again.
            sync_folder(&self.spool)?;
            sync_folder(&self.out)?;
        }
        let transaction = inner.db.transaction().map_err(failed)?;
        for (id, spool, ..) in &rows {
            let watched = !spool.ends_with(".dcm") || spool.contains('-');
            let gone = if watched {
                "UPDATE objects SET purged = 1, error = NULL WHERE id = ?1"
            } else {
                "DELETE FROM objects WHERE id = ?1"
            };
            transaction.execute(gone, [id]).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        Ok(rows.len())
    }

    /// Drops the entries of purged files that are `gone` from the watched folder.
    ///
    /// # Errors
    /// `Io`.
    pub fn forget(&self, gone: impl Fn(&str) -> bool) -> Result<()> {
        let inner = self.lock();
        let mut statement = inner.db.prepare("SELECT id, source FROM objects WHERE purged = 1").map_err(failed)?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        let rows: Vec<_> = rows.and_then(Iterator::collect).map_err(failed)?;
        for (id, _) in rows.iter().filter(|(_, source)| gone(source)) {
            inner.db.execute("DELETE FROM objects WHERE id = ?1", [id]).map_err(failed)?;
        }
        Ok(())
    }
}

fn remove(path: &std::path::Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(path, e)),
        _ => Ok(()),
    }
}
