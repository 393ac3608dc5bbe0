//! What comes in, until it is whole: a temp file in the spool, hashed on the way, fsynced when sealed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use super::names;
use crate::{Error, Result};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// A file that is being written; dropped, it is gone.
#[derive(Debug)]
pub struct Incoming {
    temp: Temp,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

/// A whole file under a temporary name; dropped, it is gone.
#[derive(Debug)]
pub struct Sealed {
    temp: Temp,
    /// Of its bytes, lower-case hex.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

#[derive(Debug)]
struct Temp(Option<PathBuf>);

impl Drop for Temp {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            let _ = fs::remove_file(path);
        }
    }
}

impl Temp {
    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }
}

impl Incoming {
    /// A new file in the folder `spool`.
    ///
    /// # Errors
    /// `Io`.
    pub fn create(spool: &Path) -> Result<Incoming> {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let path = spool.join(format!(".incoming.{}.{count}.tmp", std::process::id()));
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|e| Error::io(&path, e))?;
        let file = BufWriter::with_capacity(1 << 16, file);
        Ok(Incoming { temp: Temp(Some(path)), file, hash: Sha256::new(), bytes: 0 })
    }

    /// Adds `part`.
    ///
    /// # Errors
    /// `Io`, when the disk is full for one.
    pub fn write(&mut self, part: &[u8]) -> Result<()> {
        self.hash.update(part);
        self.bytes = self.bytes.saturating_add(part.len() as u64);
        self.file.write_all(part).map_err(|e| Error::io(self.temp.path(), e))
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// All is there: on disk when this returns.
    ///
    /// # Errors
    /// `Io`.
    pub fn seal(self) -> Result<Sealed> {
        let Incoming { temp, mut file, hash, bytes } = self;
        file.flush().and_then(|()| file.get_ref().sync_all()).map_err(|e| Error::io(temp.path(), e))?;
        Ok(Sealed { temp, sha256: names::hex(&hash.finalize()), bytes })
    }
}

impl Sealed {
    /// Gives it the name `target`, in the same folder, and makes the name durable.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn rename(mut self, target: &Path) -> Result<()> {
        fs::rename(self.temp.path(), target).map_err(|e| Error::io(target, e))?;
        self.temp.0 = None;
        let folder = target.parent().unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| Error::io(folder, e))
    }
}

/// Removes the temporary files that a killed process left in `folder`.
///
/// # Errors
/// `Io` when the folder cannot be listed.
pub(super) fn sweep(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(".tmp") {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}
