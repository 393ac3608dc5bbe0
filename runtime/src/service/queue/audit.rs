//! audit.jsonl: one line an object, exactly once, whatever moment the process is killed at.
//!
//! A line is first a row, written in the transaction that ends the object; then it is appended and fsynced; the row goes
//! with the next transaction. Lines are numbered, so at the start it is known which rows are in the file already.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};
use serde::Serialize;
use serde_json::Value;

use super::State;
use super::database::failed;
use crate::service::clock;
use crate::{Error, ErrorKind, Result};

/// Longer than any line.
const TAIL: u64 = 1 << 16;

/// What the audit says about an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Of the object's bytes.
    pub input_sha256: String,
    /// Of the model file.
    pub model_sha256: String,
    /// Of the JSON result.
    pub result_sha256: String,
    /// Of the DICOM results by their suffixes; left out when there are none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dicom_sha256: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Line<'a> {
    seq: i64,
    time: String,
    object: i64,
    state: State,
    #[serde(flatten)]
    record: &'a Record,
}

/// The file.
#[derive(Debug)]
pub(super) struct Audit {
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
    /// Number of the last line that is on disk.
    flushed: i64,
}

impl Audit {
    /// Cuts off what a killed process left unfinished, and appends what it did not get to.
    pub fn open(path: &Path, db: &Connection) -> Result<Audit> {
        let io = |e| Error::io(path, e);
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        let end = file.seek(SeekFrom::End(0)).map_err(io)?;
        let start = end.saturating_sub(TAIL);
        file.seek(SeekFrom::Start(start)).map_err(io)?;
        let mut tail = Vec::new();
        file.take(TAIL).read_to_end(&mut tail).map_err(io)?;
        let whole = tail.iter().rposition(|&b| b == b'\n').map_or(0, |newline| newline + 1);
        let length = start + whole as u64;
        if length < end {
            let file = OpenOptions::new().write(true).open(path).map_err(io)?;
            file.set_len(length).and_then(|()| file.sync_all()).map_err(io)?;
        }
        let last = tail.get(..whole.saturating_sub(1)).unwrap_or(&[]);
        let last = last.rsplit(|&b| b == b'\n').next().unwrap_or(&[]);
        let last = serde_json::from_slice::<Value>(last).ok().and_then(|line| line["seq"].as_i64()).unwrap_or(0);
        db.execute("DELETE FROM audit WHERE seq <= ?1", [last]).map_err(failed)?;
        // The file may come from an older database.
        db.execute("UPDATE counters SET value = MAX(value, ?1) WHERE name = 'audit'", [last]).map_err(failed)?;
        let mut audit = Audit { path: path.to_path_buf(), length, flushed: last };
        audit.flush(db)?;
        Ok(audit)
    }

    /// Puts a line into `ending`, the transaction that ends the object.
    pub fn add(&self, ending: &Transaction, object: i64, state: State, record: &Record) -> Result<()> {
        ending.execute("DELETE FROM audit WHERE seq <= ?1", [self.flushed]).map_err(failed)?;
        let next = "UPDATE counters SET value = value + 1 WHERE name = 'audit' RETURNING value";
        let seq: i64 = ending.query_row(next, [], |row| row.get(0)).map_err(failed)?;
        let line = Line { seq, time: clock::rfc3339(clock::now()), object, state, record };
        let line = serde_json::to_string(&line)
            .map_err(|e| Error::new(ErrorKind::Internal, "an audit line is no JSON").source(e))?;
        ending.execute("INSERT INTO audit VALUES (?1, ?2)", params![seq, line]).map_err(failed)?;
        Ok(())
    }

    /// Appends the lines that are not in the file yet.
    pub fn flush(&mut self, db: &Connection) -> Result<()> {
        let mut waiting = db.prepare("SELECT seq, line FROM audit WHERE seq > ?1 ORDER BY seq").map_err(failed)?;
        let rows = waiting.query_map([self.flushed], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
        let rows: Vec<_> = rows.and_then(Iterator::collect).map_err(failed)?;
        let Some(&(last, _)) = rows.last() else { return Ok(()) };
        let text: String = rows.into_iter().flat_map(|(_, line)| [line, "\n".to_string()]).collect();
        let io = |e| Error::io(&self.path, e);
        // Opened each time, so that the file may be rotated away.
        let mut file = OpenOptions::new().append(true).create(true).open(&self.path).map_err(io)?;
        let end = file.seek(SeekFrom::End(0)).map_err(io)?;
        if end > self.length {
            // A write that failed half-way, such as on a full disk.
            file.set_len(self.length).map_err(io)?;
        }
        self.length = self.length.min(end);
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?;
        self.length += text.len() as u64;
        self.flushed = last;
        Ok(())
    }
}

/// Makes the names in `folder` durable.
pub(super) fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder, e))
}
