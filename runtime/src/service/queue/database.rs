//! The database file: how it is opened, and its tables.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::{Error, ErrorKind, Result};

/// Of the tables below.
const VERSION: i64 = 1;

const TABLES: &str = "
CREATE TABLE objects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    spool TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    stamp TEXT NOT NULL,
    name TEXT NOT NULL,
    shown TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    received INTEGER NOT NULL,
    finished INTEGER,
    not_before INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    purged INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX waiting ON objects (crashes, id) WHERE state IN ('queued', 'failed');
CREATE INDEX named ON objects (name, id);
CREATE INDEX sourced ON objects (source, id);
CREATE INDEX ended ON objects (finished) WHERE state IN ('done', 'dead') AND purged = 0;
CREATE TABLE forwards (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    object INTEGER NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    file TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    refusals INTEGER NOT NULL DEFAULT 0,
    not_before INTEGER NOT NULL DEFAULT 0,
    finished INTEGER,
    error TEXT,
    UNIQUE (object, file)
) STRICT;
CREATE INDEX unsent ON forwards (id) WHERE state IN ('queued', 'failed');
CREATE TABLE audit (seq INTEGER PRIMARY KEY, line TEXT NOT NULL) STRICT;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO counters VALUES ('audit', 0);
";

/// What SQLite reports. Its messages hold no values.
pub(super) fn failed(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Io, format!("queue.sqlite: {error}")).hint("check the disk that holds --out").source(error)
}

/// Opens or makes the database for the one process that owns the queue.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let mut db = Connection::open(path).map_err(failed)?;
    db.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    // FULL: a commit is on disk when it returns, also in WAL mode.
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")
        .map_err(failed)?;
    let making = db.transaction().map_err(failed)?;
    let version: i64 = making.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    match version {
        0 => {
            making.execute_batch(TABLES).map_err(failed)?;
            making.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        }
        VERSION => {}
        _ => return Err(other_version(version)),
    }
    making.commit().map_err(failed)?;
    Ok(db)
}

/// Opens the database to look at it while another process owns it.
pub(super) fn view(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(failed)?;
    db.busy_timeout(Duration::from_secs(10)).map_err(failed)?;
    let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(failed)?;
    if version == VERSION { Ok(db) } else { Err(other_version(version)) }
}

fn other_version(version: i64) -> Error {
    Error::new(ErrorKind::Usage, format!("queue.sqlite has version {version}, this build reads {VERSION}"))
        .hint("let the build that made the folder finish its work, then name another --out")
}
