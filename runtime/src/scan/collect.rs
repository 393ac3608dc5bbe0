//! SCAN arguments to files: a file is itself, a folder is its scans.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, Result};

const SUFFIXES: [&str; 4] = ["png", "jpg", "jpeg", "dcm"];

/// Replaces each folder in `paths` by the scans in it and below (`.png`, `.jpg`, `.jpeg`, `.dcm`, any case), sorted by
/// path. A folder reached twice through symbolic links counts once. What is no folder, or cannot be listed, stays as
/// it is, so that reading it reports the failure for this input alone.
///
/// # Errors
/// `Usage` when a given folder holds no scan.
pub fn collect(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut scans = Vec::new();
    for path in paths {
        if !path.is_dir() {
            scans.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        walk(path, &mut found);
        if found.is_empty() {
            return Err(Error::new(ErrorKind::Usage, format!("{}: the folder holds no scan", path.display()))
                .hint("scans in folders end in .png, .jpg, .jpeg or .dcm; other names can be given one by one"));
        }
        found.sort();
        scans.append(&mut found);
    }
    Ok(scans)
}

fn walk(root: &Path, found: &mut Vec<PathBuf>) {
    let mut seen = HashSet::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        if !seen.insert(fs::canonicalize(&folder).unwrap_or_else(|_| folder.clone())) {
            continue;
        }
        let Ok(entries) = fs::read_dir(&folder) else {
            found.push(folder);
            continue;
        };
        // Sorted, so that of two links to one folder always the same one is followed.
        let mut children: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
        children.sort();
        let (below, files): (Vec<_>, Vec<_>) = children.into_iter().partition(|p| p.is_dir());
        found.extend(files.into_iter().filter(|p| has_scan_suffix(p)));
        folders.extend(below.into_iter().rev());
    }
}

fn has_scan_suffix(path: &Path) -> bool {
    path.extension().is_some_and(|e| SUFFIXES.iter().any(|s| e.eq_ignore_ascii_case(s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, b"x").unwrap();
        path
    }

    #[test]
    fn folder_is_sorted_recursive_and_filtered() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let b = touch(root.join("b.PNG"));
        let a = touch(root.join("a/z.jpeg"));
        let c = touch(root.join("c.dcm"));
        let d = touch(root.join("a/a/deep.JPG"));
        touch(root.join("notes.txt"));
        let other = touch(root.join("noext"));
        let missing = root.join("missing.png");
        let scans = collect(&[missing.clone(), root.to_path_buf(), other.clone()]).unwrap();
        assert_eq!(scans, [missing, d, a, b, c, other]);
    }

    #[test]
    fn empty_folder_is_a_usage_error() {
        let dir = tempfile::tempdir().unwrap();
        touch(dir.path().join("notes.txt"));
        assert_eq!(collect(&[dir.path().to_path_buf()]).unwrap_err().kind(), ErrorKind::Usage);
        assert!(collect(&[]).unwrap().is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn loops_end() {
        let dir = tempfile::tempdir().unwrap();
        let scan = touch(dir.path().join("sub/a.png"));
        std::os::unix::fs::symlink(dir.path(), dir.path().join("sub/up")).unwrap();
        assert_eq!(collect(&[dir.path().to_path_buf()]).unwrap(), [scan]);
    }
}
