//! One file, whole, within limits; then its decoder.

use std::fs::{self, File};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use sha2::{Digest, Sha256};

#[cfg(feature = "dicom")]
use super::dicom;
use super::{Format, Limits, Options, Pixels, Scan, Tags, jpeg, png, sniff::sniff};
use crate::{Error, ErrorKind, Result};

/// Reads and decodes the file at `path` with the default options.
///
/// # Errors
/// Those of [`Options::read`].
pub fn read(path: &Path, limits: &Limits) -> Result<Scan> {
    Options::from(limits).read(path)
}

/// Decodes the bytes of a file with the default options.
///
/// # Errors
/// Those of [`Options::decode`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Scan> {
    Options::from(limits).decode(bytes)
}

impl Options {
    /// Reads and decodes the file at `path`.
    ///
    /// # Errors
    /// `Io` when it cannot be read or is no regular file, `Limits` when it is too large, and those of
    /// [`Options::decode`]; the message starts with the path.
    pub fn read(&self, path: &Path) -> Result<Scan> {
        let bytes = bytes(path, &self.limits)?;
        self.decode(&bytes).map_err(|e| e.at(path.display()))
    }

    /// Decodes the bytes of a PNG, JPEG or (feature `dicom`) DICOM file.
    ///
    /// # Errors
    /// `Limits` before anything large is allocated, `UnsupportedFormat` for other formats, `Malformed` for broken or
    /// truncated files.
    pub fn decode(&self, bytes: &[u8]) -> Result<Scan> {
        let limits = &self.limits;
        limits.check_file(bytes.len() as u64)?;
        let format = sniff(bytes)?;
        // The decoders are not ours; should one of them panic on hostile bytes, it costs this scan and nothing else.
        let decoded = catch_unwind(AssertUnwindSafe(|| match format {
            Format::Png => png::decode(bytes, limits),
            Format::Jpeg => jpeg::decode(bytes, limits),
            #[cfg(feature = "dicom")]
            Format::Dicom => dicom::decode(bytes, self),
        }));
        let decoded = decoded.unwrap_or_else(|_| Err(malformed(format, "the decoder gave up")))?;
        let Decoded { width, height, pixels, tags } = decoded;
        Ok(Scan { width, height, pixels, format, sha256: sha256(bytes), tags })
    }
}

pub(super) struct Decoded {
    pub width: u32,
    pub height: u32,
    pub pixels: Pixels,
    pub tags: Tags,
}

/// A file that breaks the rules of its format.
pub(super) fn malformed(format: Format, problem: impl std::fmt::Display) -> Error {
    let name = format.as_str().to_uppercase();
    Error::new(ErrorKind::Malformed, format!("broken {name} file: {problem}")).hint("copy or export the file again")
}

/// A file that ends before the picture does.
pub(super) fn truncated(format: Format) -> Error {
    malformed(format, "it is truncated")
}

/// The bytes of a scan's file, which must be a regular one within the limit.
///
/// # Errors
/// `Io` or `Limits`, naming the path.
pub fn bytes(path: &Path, limits: &Limits) -> Result<Vec<u8>> {
    let failed = |e| Error::io(path, e);
    // Asked by name first, because opening a pipe waits for its writer.
    check_regular(path, &fs::metadata(path).map_err(failed)?, limits)?;
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    check_regular(path, &meta, limits)?;
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.take(limits.max_file_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    limits.check_file(bytes.len() as u64).map_err(|e| e.at(path.display()))?;
    Ok(bytes)
}

fn check_regular(path: &Path, meta: &fs::Metadata, limits: &Limits) -> Result<()> {
    if meta.is_dir() {
        fs::read_dir(path).map_err(|e| Error::io(path, e))?;
    }
    if !meta.is_file() {
        let what = if meta.is_dir() { "a folder" } else { "a device, pipe or socket" };
        return Err(Error::new(ErrorKind::Io, format!("{}: is {what}, not a file", path.display()))
            .hint("name a file with a picture"));
    }
    limits.check_file(meta.len()).map_err(|e| e.at(path.display()))
}

/// SHA-256 in lower-case hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|d| char::from_digit(u32::from(d), 16)).collect()
}
