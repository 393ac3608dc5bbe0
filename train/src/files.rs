//! Writing files so that no reader ever sees half of one.

use std::path::Path;

use rad_dino_edge::output::write;
use rad_dino_edge::{Error, Result};

/// Writes `bytes` to `path` whole or not at all; the folder is made if absent.
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_folder_of(path)?;
    write::atomic(path, |w| w.write_all(bytes))
}

/// Writes an 8-bit grey PNG; `pixels` is [side, side]. The folder is made if absent.
pub fn write_grey(path: &Path, pixels: &[u8], side: usize) -> Result<()> {
    make_folder_of(path)?;
    write::png(path, pixels, side as u32, side as u32, image::ExtendedColorType::L8)
}

fn make_folder_of(path: &Path) -> Result<()> {
    match path.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(folder) => std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e)),
        None => Ok(()),
    }
}
