//! Finding the place again after a stop, a crash or a power cut.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use rusqlite::params;
use sha2::{Digest, Sha256};

use super::database::failed;
use super::{Queue, State};
use crate::service::log;
use crate::service::names::{Origin, hex};
use crate::{Error, Result};

impl Queue {
    pub(super) fn recover(&self) -> Result<()> {
        let inner = self.lock();
        // The try was cut off, it did not fail: it counts as a crash alone.
        let again = "UPDATE objects SET state = ?1, crashes = crashes + 1, attempts = MAX(attempts - 1, 0)
                     WHERE state = ?2";
        let running = inner.db.execute(again, params![State::Queued, State::Running]).map_err(failed)?;
        let again = "UPDATE forwards SET state = ?1 WHERE state = ?2";
        let sending = inner.db.execute(again, params![State::Queued, State::Running]).map_err(failed)?;
        let mut orphans = 0;
        for entry in fs::read_dir(&self.spool).map_err(|e| Error::io(&self.spool, e))? {
            let entry = entry.map_err(|e| Error::io(&self.spool, e))?;
            let name = entry.file_name();
            let Some(origin) = name.to_str().and_then(Origin::of_spool) else { continue };
            let known = "SELECT EXISTS (SELECT 1 FROM objects WHERE spool = ?1)";
            if inner.db.query_row(known, [&origin.spool], |row| row.get(0)).map_err(failed)? {
                continue;
            }
            let (sha256, bytes) = hash(&entry.path())?;
            inner.insert(&origin, "", &sha256, bytes)?;
            orphans += 1;
        }
        if running + sending + orphans > 0 {
            log::warn(
                "recovered",
                &[("running", running.into()), ("sending", sending.into()), ("spooled", orphans.into())],
            );
        }
        Ok(())
    }

    /// Gives every dead letter another chance; how many there were.
    ///
    /// # Errors
    /// `Io`.
    pub fn revive(&self) -> Result<usize> {
        let inner = self.lock();
        let objects = "UPDATE objects SET state = ?1, attempts = 0, crashes = 0, not_before = 0, finished = NULL
                       WHERE state = ?2 AND purged = 0";
        let forwards = "UPDATE forwards SET state = ?1, attempts = 0, refusals = 0, not_before = 0 WHERE state = ?2";
        let objects = inner.db.execute(objects, params![State::Queued, State::Dead]).map_err(failed)?;
        let forwards = inner.db.execute(forwards, params![State::Queued, State::Dead]).map_err(failed)?;
        Ok(objects + forwards)
    }
}

fn hash(path: &Path) -> Result<(String, u64)> {
    let io = |e| Error::io(path, e);
    let mut file = File::open(path).map_err(io)?;
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    let mut part = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut part).map_err(io)?;
        if read == 0 {
            return Ok((hex(&hash.finalize()), bytes));
        }
        hash.update(part.get(..read).unwrap_or(&[]));
        bytes += read as u64;
    }
}
