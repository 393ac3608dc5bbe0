//! What a service is told.

use std::time::Duration;

#[cfg(feature = "dicom")]
use super::forward::Peer;
use super::retry::Retry;
use crate::scan::Limits;

/// What `watch` and `listen` share.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Objects decoded at the same time; the model looks at one after another.
    pub workers: usize,
    /// Of objects that failed for a reason that may pass.
    pub retry: Retry,
    /// Of the scans.
    pub limits: Limits,
    /// Objects that wait, at most: beyond, nothing is taken in.
    pub max_queue: u64,
    /// Room on the disk below which nothing is taken in, bytes.
    pub min_free: u64,
    /// Age after which what has ended is purged; None keeps everything.
    pub keep: Option<Duration>,
    /// Where results are sent.
    #[cfg(feature = "dicom")]
    pub forward: Option<Peer>,
}

impl Default for Settings {
    /// Two workers, 10,000 objects, 1 GB, nothing purged, nothing sent.
    fn default() -> Self {
        Settings {
            workers: 2,
            retry: Retry::default(),
            limits: Limits::default(),
            max_queue: 10_000,
            min_free: 1_000_000_000,
            keep: None,
            #[cfg(feature = "dicom")]
            forward: None,
        }
    }
}
