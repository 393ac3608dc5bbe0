//! `watch`: a folder whose films are read. Its files are copied into the spool, never touched.

mod folders;

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::names::Origin;
use super::queue::Accepted;
use super::{Service, log, results};
use crate::{Error, ErrorKind, Result};
use folders::{Event, Folders};

/// How a folder is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A file found by looking is whole when its size and time have not changed for this long.
    pub settle: Duration,
    /// How often the folder is looked through; the system does not tell of changes made on other machines.
    pub rescan: Duration,
    /// Return when all that was there is read.
    pub once: bool,
}

impl Default for Options {
    /// 1 s, 30 s, for ever.
    fn default() -> Self {
        Options { settle: Duration::from_secs(1), rescan: Duration::from_secs(30), once: false }
    }
}

const SUFFIXES: [&str; 4] = ["png", "jpg", "jpeg", "dcm"];
/// Between two looks at the news.
const TICK: Duration = Duration::from_millis(50);

/// A file that was seen and is not taken yet.
#[derive(Debug)]
struct Pending {
    stamp: String,
    since: Instant,
}

struct Watch<'a> {
    service: &'a Service,
    folders: Folders,
    options: Options,
    pending: HashMap<PathBuf, Pending>,
    /// Stamps of what is dealt with, to spare the database.
    seen: HashMap<PathBuf, String>,
    full: bool,
    /// Files that were too large to be taken in.
    refused: usize,
}

/// Watches `dir` and the folders in it until told to stop; how many files were refused without being taken in.
///
/// # Errors
/// `Usage` when `dir` is no folder or is the folder of results, `Io` when it cannot be watched.
pub fn watch(service: &Service, dir: &Path, options: &Options) -> Result<usize> {
    let folders = Folders::open(dir, service.queue.out())?;
    let root = folders.root().to_path_buf();
    service.queue.forget(|source| !root.join(source).exists())?;
    let mut watch = Watch {
        service,
        folders,
        options: *options,
        pending: HashMap::new(),
        seen: HashMap::new(),
        full: false,
        refused: 0,
    };
    watch.look_through();
    log::info("watching", &[("folders", watch.folders.len().into()), ("found", watch.pending.len().into())]);
    let mut looked = Instant::now();
    while !service.stop.is_set() {
        let news = watch.folders.news()?;
        if news.is_empty() {
            std::thread::sleep(TICK);
        }
        for event in news {
            match event {
                Event::Whole(path) => watch.whole(path),
                Event::Folder(path) => watch.look_into(&path),
                Event::Lost => watch.look_through(),
            }
        }
        watch.settle();
        if looked.elapsed() >= watch.options.rescan {
            watch.look_through();
            looked = Instant::now();
        }
        if options.once && watch.pending.is_empty() {
            let counts = service.queue.counts()?;
            if counts.queued + counts.running + counts.failed == 0 {
                break;
            }
        }
    }
    Ok(watch.refused)
}

impl Watch<'_> {
    /// What is new or has changed since it was dealt with.
    fn look_through(&mut self) {
        let root = self.folders.root().to_path_buf();
        self.look_into(&root);
        self.seen.retain(|path, _| root.join(path).exists());
    }

    fn look_into(&mut self, folder: &Path) {
        for path in self.folders.files(folder) {
            if wanted(&path) {
                self.see(path);
            }
        }
    }

    /// `path`, below the root, waits until it has not changed for a while.
    fn see(&mut self, path: PathBuf) {
        let Some(stamp) = self.stamp(&path) else { return };
        if self.seen.get(&path) == Some(&stamp) || self.pending.contains_key(&path) {
            return;
        }
        match self.service.queue.knows(&path.to_string_lossy(), &stamp) {
            Ok(true) => {
                self.seen.insert(path, stamp);
            }
            Ok(false) => {
                self.pending.insert(path, Pending { stamp, since: Instant::now() });
            }
            Err(error) => log::error("queue", &error, &[]),
        }
    }

    /// A writer closed `path`, or it was moved here.
    fn whole(&mut self, path: PathBuf) {
        if !wanted(&path) {
            return;
        }
        let Some(stamp) = self.stamp(&path) else { return };
        if self.seen.get(&path) == Some(&stamp) {
            return;
        }
        if !self.room() || !self.take(&path) {
            self.pending.insert(path, Pending { stamp, since: Instant::now() });
        }
    }

    fn settle(&mut self) {
        if self.pending.is_empty() || !self.room() {
            return;
        }
        let mut ready = vec![];
        let root = self.folders.root().to_path_buf();
        let settle = self.options.settle;
        self.pending.retain(|path, pending| match stamp(&root.join(path)) {
            None => false,
            Some(stamp) if stamp != pending.stamp => {
                *pending = Pending { stamp, since: Instant::now() };
                true
            }
            Some(_) => {
                if pending.since.elapsed() >= settle {
                    ready.push(path.clone());
                }
                true
            }
        });
        ready.sort();
        for path in ready {
            if self.service.stop.is_set() || !self.room() {
                return;
            }
            if self.take(&path) {
                self.pending.remove(&path);
            } else if let Some(pending) = self.pending.get_mut(&path) {
                pending.since = Instant::now();
            }
        }
    }

    /// Whether more may be taken in; says so once when that changes.
    fn room(&mut self) -> bool {
        let full = match self.service.full() {
            Ok(full) => full,
            Err(error) => {
                log::error("queue", &error, &[]);
                Some("its state is unknown")
            }
        };
        if full.is_some() != self.full {
            self.full = full.is_some();
            match full {
                Some(why) => log::warn("paused", &[("why", why.into())]),
                None => log::info("resumed", &[]),
            }
        }
        full.is_none()
    }

    fn stamp(&self, path: &Path) -> Option<String> {
        stamp(&self.folders.root().join(path))
    }

    /// Whether it is dealt with.
    fn take(&mut self, path: &Path) -> bool {
        match self.spool(path) {
            Ok(Some(stamp)) => {
                self.seen.insert(path.to_path_buf(), stamp);
                true
            }
            Ok(None) => false,
            // It went before it could be read: nothing to report.
            Err(_) if !self.folders.root().join(path).exists() => true,
            Err(error) => {
                log::error("take", &Error::new(error.kind(), "a watched file could not be taken in"), &[]);
                false
            }
        }
    }

    /// Copies it into the queue; its stamp, or None when it changed meanwhile.
    fn spool(&mut self, relative: &Path) -> Result<Option<String>> {
        let path = self.folders.root().join(relative);
        let io = |e| Error::io(&path, e);
        let before = fs::metadata(&path).map_err(io)?;
        let stamped = stamp_of(&before);
        let limit = self.service.settings.limits.max_file_bytes;
        if before.len() > limit {
            return self.too_large(relative, limit).map(|()| Some(stamped));
        }
        let mut file = match File::open(&path) {
            // Until its permissions change.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                log::error("unreadable", &Error::new(ErrorKind::Io, "a watched file may not be read"), &[]);
                return Ok(Some(stamped));
            }
            opened => opened.map_err(io)?,
        };
        let mut incoming = self.service.queue.incoming()?;
        let mut part = vec![0; 1 << 16];
        loop {
            let read = file.read(&mut part).map_err(io)?;
            if read == 0 {
                break;
            }
            incoming.write(part.get(..read).unwrap_or(&[]))?;
            if incoming.bytes() > limit {
                return Ok(None);
            }
        }
        if stamp(&path).as_ref() != Some(&stamped) || incoming.bytes() != before.len() {
            return Ok(None);
        }
        let sealed = incoming.seal()?;
        let origin = Origin::file(relative, &sealed.sha256);
        let (sha256, bytes) = (sealed.sha256.clone(), sealed.bytes);
        let fields = |id: i64| [("object", id.into()), ("sha256", sha256.get(..12).into()), ("bytes", bytes.into())];
        match self.service.queue.accept(sealed, &origin, &stamped)? {
            Accepted::New(id) => log::info("queued", &fields(id)),
            Accepted::Known(..) | Accepted::Other(..) => {}
        }
        Ok(Some(stamped))
    }

    /// Refused without a copy.
    fn too_large(&mut self, relative: &Path, limit: u64) -> Result<()> {
        let message = format!("the file is larger than the limit of {limit} bytes");
        let error = Error::new(ErrorKind::Limits, message).hint("raise --max-file-mb if the file is to be trusted");
        let origin = Origin::file(relative, "");
        results::write_failure(self.service.queue.out(), &origin.name, &origin.shown, &error)?;
        log::error("refused", &error, &[]);
        self.refused += 1;
        Ok(())
    }
}

/// Pictures by their suffix, and what has none or a number for one, as DICOM files have; no hidden or temporary files.
fn wanted(path: &Path) -> bool {
    let Some(name) = path.file_name().map(|name| name.to_string_lossy()) else { return false };
    if name.starts_with('.') || name.ends_with('~') {
        return false;
    }
    match path.extension().map(|suffix| suffix.to_string_lossy()) {
        None => true,
        Some(suffix) => {
            SUFFIXES.iter().any(|s| s.eq_ignore_ascii_case(&suffix)) || suffix.bytes().all(|b| b.is_ascii_digit())
        }
    }
}

fn stamp(path: &Path) -> Option<String> {
    fs::metadata(path).ok().filter(Metadata::is_file).map(|meta| stamp_of(&meta))
}

/// Changes whenever the file does.
fn stamp_of(meta: &Metadata) -> String {
    let (modified, changed) = ((meta.mtime(), meta.mtime_nsec()), (meta.ctime(), meta.ctime_nsec()));
    format!("{}:{}:{}.{:09}:{}.{:09}", meta.ino(), meta.len(), modified.0, modified.1, changed.0, changed.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_dicom_files_without_a_suffix_are_wanted() {
        for name in ["a.png", "b/c.JPEG", "film.dcm", "IM0001", "1.2.840.113619.2"] {
            assert!(wanted(Path::new(name)), "{name}");
        }
        for name in [".a.png", "b.txt", "c.png.tmp", "d.png~", "e.part", "f.json", ".hidden"] {
            assert!(!wanted(Path::new(name)), "{name}");
        }
    }
}
