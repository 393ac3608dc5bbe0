//! `watch`: reads what appears in a folder.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::Tally;
use super::service::{ServiceOptions, config};
use crate::error::{Error, ErrorKind, Result};
use crate::service::{self, watch};

/// Reads every film that appears in a folder, and leaves the results in another.
///
/// A film (.png, .jpg, .jpeg, .dcm, or a name without a suffix) is copied into OUT/spool once it is whole, waits in a
/// durable queue, and ends as OUT/<stem>.json (what `infer --format json` prints); a DICOM film also as .sr.dcm, .sc.dcm
/// and .seg.dcm. The films themselves are not touched. SIGTERM and SIGINT end it once the running scan is finished.
#[derive(Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    own: Own,
    #[command(flatten)]
    service: ServiceOptions,
    /// Return when all that is in the folder is read; the exit code tells of refused scans.
    #[arg(long)]
    once: bool,
}

#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    /// The folder to watch, with the folders in it.
    #[arg(value_name = "DIR", env = "RDE_DIR")]
    dir: Option<PathBuf>,
    /// A film found lying there is whole when it has not changed for so long. [default: 1]
    #[arg(long, value_name = "SECONDS", env = "RDE_SETTLE_SECONDS")]
    settle_seconds: Option<u32>,
    /// How often the folder is looked through, for films that another machine put there. [default: 30]
    #[arg(long, value_name = "SECONDS", env = "RDE_RESCAN_SECONDS")]
    rescan_seconds: Option<u32>,
}

impl Watch {
    pub(super) fn run(&self) -> Result<Tally> {
        let (shared, section) = config::<Own>(self.service.config.as_deref(), "watch")?;
        let options = self.service.clone().or(shared);
        let own = self.own.clone();
        let dir = own.dir.or(section.dir).ok_or_else(|| {
            Error::new(ErrorKind::Usage, "the folder to watch is missing").hint("rad-dino-edge watch DIR --out DIR")
        })?;
        let seconds = |given: Option<u32>, default| given.map_or(default, |s| Duration::from_secs(s.into()));
        let default = watch::Options::default();
        let watching = watch::Options {
            settle: seconds(own.settle_seconds.or(section.settle_seconds), default.settle),
            rescan: seconds(own.rescan_seconds.or(section.rescan_seconds), default.rescan),
            once: self.once,
        };
        let service = options.service(options.settings()?)?;
        let before = service.queue.counts()?;
        let refused = service::run(&service, |service| watch::watch(service, &dir, &watching))?;
        if !self.once {
            return Ok(Tally::default());
        }
        let after = service.queue.counts()?;
        let since = |after: u64, before: u64| usize::try_from(after.saturating_sub(before)).unwrap_or(usize::MAX);
        Ok(Tally { done: since(after.done, before.done), failed: refused + since(after.dead, before.dead) })
    }
}
