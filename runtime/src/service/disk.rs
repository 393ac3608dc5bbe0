//! Room on the disk.

use std::path::Path;

use crate::{Error, Result};

/// Bytes that this user may still write to the file system of `path`.
///
/// # Errors
/// `Io` naming `path`.
pub fn free(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statvfs(path).map_err(|e| Error::io(path, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
