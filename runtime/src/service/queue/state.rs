//! What becomes of an object.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use serde::Serialize;

/// Where an object, or a result that is sent on, stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits for its first try.
    Queued,
    /// Is being read, or sent.
    Running,
    /// Its results are there.
    Done,
    /// Failed, and waits for the next try.
    Failed,
    /// Given up: the scan was refused, or every try failed. A failure object says why.
    Dead,
}

impl State {
    /// As in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
            State::Dead => "dead",
        }
    }
}

impl ToSql for State {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.as_str().as_bytes())))
    }
}

impl FromSql for State {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let states = [State::Queued, State::Running, State::Done, State::Failed, State::Dead];
        let word = value.as_str()?;
        states.into_iter().find(|state| state.as_str() == word).ok_or(FromSqlError::InvalidType)
    }
}
