//! Whether this machine is fit to run: what `doctor` checks.

mod clock;
mod disk;
mod machine;
mod picture;
mod port;
mod self_check;

pub use clock::clock;
pub use disk::disk;
pub use machine::{cpu, memory, temperature, threads};
pub use picture::picture;
pub use port::port;
pub use self_check::{Answer, Reference, compare, known};

use serde::Serialize;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Fine.
    Ok,
    /// It will run; someone should look.
    Warning,
    /// It will not run, or must not be trusted.
    Failed,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    /// A check that ended well.
    pub fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Check { name, status: Status::Ok, detail: detail.into(), hint: None }
    }

    /// A check that someone should look at.
    pub fn warning(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Check { name, status: Status::Warning, detail: detail.into(), hint: Some(hint.into()) }
    }

    /// A check that failed.
    pub fn failed(name: &'static str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Check { name, status: Status::Failed, detail: detail.into(), hint: Some(hint.into()) }
    }

    /// A check that ended in `error`.
    pub fn from_error(name: &'static str, error: &crate::Error) -> Self {
        let hint = error.remedy().map(str::to_string);
        Check { name, status: Status::Failed, detail: error.message().to_string(), hint }
    }
}
