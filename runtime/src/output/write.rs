//! Files appear whole or not at all: temp file in the same folder, fsync, rename.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::{Error, ErrorKind, Result};

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// Writes `path` through `fill`, so that whoever looks sees the old file or the complete new one.
/// A symbolic link keeps pointing where it pointed; a device or a pipe is written to directly.
///
/// # Errors
/// `Io` naming `path` when a step fails (the temp file is removed), `Usage` when `path` names no file.
pub fn atomic(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let failed = |e| Error::io(path, e);
    match fs::metadata(path) {
        Ok(meta) if meta.is_dir() => {
            return Err(Error::new(ErrorKind::Usage, format!("{}: is a folder", path.display()))
                .hint("name a file inside the folder"));
        }
        Ok(meta) if !meta.is_file() => {
            let mut device = OpenOptions::new().write(true).open(path).map_err(failed)?;
            return fill(&mut device).map_err(failed);
        }
        _ => {}
    }
    let target = resolve(path);
    let (temp, file) = create_beside(&target).map_err(failed)?;
    match fill_and_sync(file, fill).and_then(|()| fs::rename(&temp, &target)) {
        Ok(()) => {
            sync_folder(&target);
            Ok(())
        }
        Err(e) => {
            // The first error is the one worth telling.
            let _ = fs::remove_file(&temp);
            Err(failed(e))
        }
    }
}

/// Writes files of `folder`, each whole or not at all, and the last only when the others are there to stay.
///
/// # Errors
/// `Io` naming the file.
pub fn set(folder: &Path, files: &[(String, &[u8])]) -> Result<()> {
    let targets: Vec<_> = files.iter().map(|(name, _)| folder.join(name)).collect();
    let mut temps = Temps(vec![]);
    for (target, (_, bytes)) in targets.iter().zip(files) {
        let failed = |e| Error::io(target, e);
        let (temp, file) = create_beside(target).map_err(failed)?;
        temps.0.push(temp);
        fill_and_sync(file, |out| out.write_all(bytes)).map_err(failed)?;
    }
    let mut renames = temps.0.iter().zip(&targets).peekable();
    while let Some((temp, target)) = renames.next() {
        if renames.peek().is_none() && targets.len() > 1 {
            sync_folder(target);
        }
        fs::rename(temp, target).map_err(|e| Error::io(target, e))?;
    }
    targets.last().into_iter().for_each(|target| sync_folder(target));
    Ok(())
}

/// Temporary files; those that were not renamed are gone when it is dropped.
struct Temps(Vec<PathBuf>);

impl Drop for Temps {
    fn drop(&mut self) {
        for temp in &self.0 {
            let _ = fs::remove_file(temp);
        }
    }
}

/// Writes an 8-bit PNG with [`atomic`]. `pixels` is row-major, [height, width, channels of `color`].
///
/// # Errors
/// `Io` naming `path`.
pub fn png(path: &Path, pixels: &[u8], width: u32, height: u32, color: ExtendedColorType) -> Result<()> {
    atomic(path, |w| {
        PngEncoder::new_with_quality(w, CompressionType::Fast, FilterType::Adaptive)
            .write_image(pixels, width, height, color)
            .map_err(io::Error::other)
    })
}

fn fill_and_sync(file: File, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut buffered = BufWriter::new(file);
    fill(&mut buffered)?;
    buffered.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

fn resolve(path: &Path) -> PathBuf {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_symlink() => fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf()),
        _ => path.to_path_buf(),
    }
}

fn create_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "names no file"))?;
    loop {
        let mut temp_name = std::ffi::OsString::from(".");
        // Part of the name is for people; the numbers make it unique, and 40 characters keep it within 255 bytes.
        temp_name.push(name.to_string_lossy().chars().take(40).collect::<String>());
        temp_name.push(format!(".{}.{}.tmp", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
        let temp = target.with_file_name(temp_name);
        match OpenOptions::new().write(true).create_new(true).open(&temp) {
            Ok(file) => return Ok((temp, file)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
}

/// The rename itself survives a power cut only once the folder is on disk; not every file system can do it.
fn sync_folder(target: &Path) {
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_the_old_file_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        atomic(&path, |w| w.write_all(b"old")).unwrap();
        atomic(&path, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_set_is_written_in_order_or_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let set = |names: &[&str], bytes: &[u8]| {
            super::set(folder.path(), &names.iter().map(|name| ((*name).to_string(), bytes)).collect::<Vec<_>>())
        };
        set(&[], b"").unwrap();
        set(&["a.dcm", "b.dcm", "a.json"], b"old").unwrap();
        set(&["a.dcm", "a.json"], b"new").unwrap();
        assert_eq!(names(folder.path()), ["a.dcm", "a.json", "b.dcm"]);
        let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
        assert_eq!((read("a.dcm"), read("a.json"), read("b.dcm")), (b"new".into(), b"new".into(), b"old".into()));
        // the second cannot be renamed over a folder: the first is there, the last is not
        fs::create_dir(folder.path().join("c.dcm")).unwrap();
        let error = set(&["b.dcm", "c.dcm", "c.json"], b"new").unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.message().contains("c.dcm"), "{error}");
        assert_eq!(names(folder.path()), ["a.dcm", "a.json", "b.dcm", "c.dcm"]);
        // nor can anything be written into a folder that is not there: nothing is
        assert_eq!(super::set(&folder.path().join("no"), &[("a".into(), b"x")]).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn failure_keeps_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        atomic(&path, |w| w.write_all(b"old")).unwrap();
        let error = atomic(&path, |w| {
            w.write_all(b"half")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.message().contains("a.json"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn folder_and_missing_parent_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(atomic(folder.path(), |_| Ok(())).unwrap_err().kind(), ErrorKind::Usage);
        let missing = folder.path().join("no/such/a.json");
        assert_eq!(atomic(&missing, |_| Ok(())).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn long_names_still_fit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("é".repeat(120));
        atomic(&path, |w| w.write_all(b"x")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
    }

    #[cfg(unix)]
    #[test]
    fn symbolic_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target"), folder.path().join("link"));
        fs::write(&target, b"old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        atomic(&link, |w| w.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
    }
}
