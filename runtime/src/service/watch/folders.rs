//! The watched folder and the folders in it, through inotify.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::service::log;
use crate::{Error, ErrorKind, Result};

/// Deeper than any archive's folders.
const MAX_DEPTH: usize = 32;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// This file, below the root, was closed by its writer or moved here.
    Whole(PathBuf),
    /// This folder is new.
    Folder(PathBuf),
    /// There was more than the system could keep.
    Lost,
}

#[derive(Debug)]
pub(super) struct Folders {
    root: PathBuf,
    /// The folder of results, which is never looked into.
    out: PathBuf,
    inotify: OwnedFd,
    watched: HashMap<i32, PathBuf>,
}

impl Folders {
    pub fn open(dir: &Path, out: &Path) -> Result<Folders> {
        let canonical = |path: &Path| fs::canonicalize(path).map_err(|e| Error::io(path, e));
        let (root, out) = (canonical(dir)?, canonical(out)?);
        if !root.is_dir() {
            return Err(Error::new(ErrorKind::Usage, format!("{}: is no folder", dir.display())).hint("watch a folder"));
        }
        if root == out || root.starts_with(out.join("spool")) {
            return Err(Error::new(ErrorKind::Usage, format!("{}: results are written there", dir.display()))
                .hint("give --out a folder of its own"));
        }
        let inotify =
            inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|e| Error::io(dir, e.into()))?;
        let mut folders = Folders { root: root.clone(), out, inotify, watched: HashMap::new() };
        folders.add(&root)?;
        Ok(folders)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How many folders are watched.
    pub fn len(&self) -> usize {
        self.watched.len()
    }

    fn add(&mut self, folder: &Path) -> Result<()> {
        let events = WatchFlags::CLOSE_WRITE | WatchFlags::MOVED_TO | WatchFlags::CREATE | WatchFlags::ONLYDIR;
        let number = inotify::add_watch(&self.inotify, folder, events).map_err(|e| Error::io(folder, e.into()))?;
        self.watched.insert(number, folder.to_path_buf());
        Ok(())
    }

    /// The files in `folder` and below it, as paths below the root, sorted; folders met on the way are watched.
    pub fn files(&mut self, folder: &Path) -> Vec<PathBuf> {
        let mut files = vec![];
        let watched: HashSet<PathBuf> = self.watched.values().cloned().collect();
        let mut folders = vec![folder.to_path_buf()];
        while let Some(folder) = folders.pop() {
            let depth = folder.strip_prefix(&self.root).map_or(0, |path| path.components().count());
            if folder == self.out || depth > MAX_DEPTH {
                continue;
            }
            // Before it is listed, so that nothing falls between.
            if !watched.contains(&folder)
                && let Err(error) = self.add(&folder)
            {
                log::error(
                    "watch",
                    &Error::new(error.kind(), "a folder cannot be watched")
                        .hint("it is looked through from time to time; raise fs.inotify.max_user_watches"),
                    &[],
                );
            }
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let path = entry.path();
                // Links to folders are not followed, so there are no loops.
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(_) => files.extend(path.strip_prefix(&self.root).map(Path::to_path_buf)),
                    Err(_) => {}
                }
            }
        }
        files.sort();
        files
    }

    /// What has happened since; empty when nothing has.
    pub fn news(&mut self) -> Result<Vec<Event>> {
        let failed = |e: Errno| Error::new(ErrorKind::Io, format!("inotify: {e}"));
        let mut events = vec![];
        let mut gone = vec![];
        let mut buffer = [MaybeUninit::uninit(); 1 << 14];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK | Errno::INTR) => break,
                Err(e) => return Err(failed(e)),
            };
            let kinds = event.events();
            if kinds.contains(ReadFlags::QUEUE_OVERFLOW) {
                events.push(Event::Lost);
                continue;
            }
            if kinds.contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
                continue;
            }
            let Some(folder) = self.watched.get(&event.wd()) else { continue };
            let Some(name) = event.file_name() else { continue };
            let path = folder.join(OsStr::from_bytes(name.to_bytes()));
            if kinds.contains(ReadFlags::ISDIR) {
                events.push(Event::Folder(path));
            } else if kinds.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO)
                && let Ok(path) = path.strip_prefix(&self.root)
            {
                events.push(Event::Whole(path.to_path_buf()));
            }
        }
        for number in gone {
            self.watched.remove(&number);
        }
        Ok(events)
    }
}
