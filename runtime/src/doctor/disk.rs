use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::Check;

const NAME: &str = "disk";
const FEW_MB: u64 = 1_000;
const TOO_FEW_MB: u64 = 100;

/// Whether results can be written to `folder` and how much room is left there.
pub fn disk(folder: &Path) -> Check {
    let shown = folder.display();
    if !folder.is_dir() {
        return Check::failed(
            NAME,
            format!("{shown} is no folder"),
            "create it, owned by the user that runs the service",
        );
    }
    if let Err(e) = write_one(folder) {
        return Check::failed(
            NAME,
            format!("{shown} cannot be written to: {e}"),
            "check its owner and its permissions",
        );
    }
    let free = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize) / 1_000_000,
        Err(e) => return Check::warning(NAME, format!("{shown}: free space unknown: {e}"), "check the disk"),
    };
    let found = format!("{shown} can be written to, {free} MB free");
    match free {
        0..TOO_FEW_MB => Check::failed(NAME, found, "free some space, or name another --out"),
        TOO_FEW_MB..FEW_MB => Check::warning(NAME, found, "free some space before it runs full"),
        _ => Check::ok(NAME, found),
    }
}

/// A file is created, brought to the disk and removed again.
fn write_one(folder: &Path) -> std::io::Result<()> {
    let path = folder.join(format!(".rad-dino-edge-doctor.{}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).open(&path)?;
    let written = file.write_all(b"doctor").and_then(|()| file.sync_all());
    fs::remove_file(&path)?;
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_folder_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let check = disk(folder.path());
        assert_ne!(check.status, Status::Failed, "{}", check.detail);
        assert!(check.detail.contains("MB free"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_no_folder_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"x").unwrap();
        for path in [file, folder.path().join("missing")] {
            assert_eq!(disk(&path).status, Status::Failed);
        }
    }
}
