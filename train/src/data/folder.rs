//! A folder of films becomes a manifest.

use std::path::{Component, Path, PathBuf};

use rad_dino_edge::scan::{self, Limits};
use rad_dino_edge::{Error, ErrorKind, Result};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::manifest::Manifest;
use super::row::{Row, Sex, Split, View};

/// What names the patient of a film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatientFrom {
    /// The patient ID of a DICOM film; else the first sub-folder below the folder given; the file's stem where there is
    /// none.
    Folder,
    /// The file's stem.
    Stem,
}

/// The manifest of a folder, and the files that could not be read.
#[derive(Debug)]
pub struct FolderManifest {
    /// One row a readable film, with columns `width` and `height`.
    pub manifest: Manifest,
    /// What was left out, and why.
    pub failed: Vec<(PathBuf, Error)>,
}

/// Reads every film (PNG, JPEG, DICOM) under `folder`, sorted by path. `csv` is where the manifest will lie: paths become
/// relative to its folder. Names of patients are hashed, splits follow the hash. View, sex and age are those of a
/// DICOM film's tags.
///
/// # Errors
/// When the folder cannot be listed or holds no films.
pub fn read(folder: &Path, csv: &Path, source: &str, patients: PatientFrom, limits: &Limits) -> Result<FolderManifest> {
    if !folder.is_dir() {
        return Err(Error::new(ErrorKind::Usage, format!("{}: not a folder", folder.display())).hint("check the path"));
    }
    let films = scan::collect(&[folder.to_path_buf()])?;
    let absolute = |path: &Path| std::fs::canonicalize(path).map_err(|e| Error::io(path, e));
    let base = match csv.parent().filter(|p| !p.as_os_str().is_empty()) {
        Some(parent) => {
            std::fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
            absolute(parent)?
        }
        None => absolute(Path::new("."))?,
    };
    let root = absolute(folder)?;
    let rows: Vec<Result<Row>> = films
        .par_iter()
        .map(|film| {
            let scan = scan::read(film, limits)?;
            let below = film.strip_prefix(folder).unwrap_or(film);
            let tagged = scan.tags.patient_sha256.clone().filter(|_| patients == PatientFrom::Folder);
            let patient_id = hashed(source, &tagged.unwrap_or_else(|| patient(below, patients)));
            Ok(Row {
                file: slashes(&relative(&root.join(below), &base)),
                source: source.to_owned(),
                source_id: slashes(below),
                split: Some(Split::of_patient(&patient_id)),
                patient_id,
                view: scan.tags.view_position.as_deref().and_then(View::parse),
                sex: scan.tags.patient_sex.as_deref().and_then(Sex::parse),
                age: scan.tags.age_years(),
                other: vec![scan.width.to_string(), scan.height.to_string()],
                ..Row::default()
            })
        })
        .collect();
    let mut out = FolderManifest {
        manifest: Manifest {
            folder: base,
            other_columns: vec!["width".to_owned(), "height".to_owned()],
            rows: Vec::new(),
        },
        failed: Vec::new(),
    };
    for (film, row) in films.into_iter().zip(rows) {
        match row {
            Ok(row) => out.manifest.rows.push(row),
            Err(error) => out.failed.push((film, error)),
        }
    }
    Ok(out)
}

fn patient(below: &Path, from: PatientFrom) -> String {
    let mut parts = below.components();
    match (from, parts.next(), parts.next()) {
        (PatientFrom::Folder, Some(first), Some(_)) => first.as_os_str().to_string_lossy().into_owned(),
        _ => below.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}

/// 16 hex digits that do not tell the name.
fn hashed(source: &str, patient: &str) -> String {
    let digest = Sha256::new().chain_update(source).chain_update([0]).chain_update(patient).finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// `path` as seen from `base`, both absolute.
fn relative(path: &Path, base: &Path) -> PathBuf {
    let common = path.components().zip(base.components()).take_while(|(a, b)| a == b).count();
    let up = base.components().skip(common).map(|_| Component::ParentDir);
    up.chain(path.components().skip(common)).collect()
}

fn slashes(path: &Path) -> String {
    path.components().map(|c| c.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::write_grey;

    #[test]
    fn rows_are_relative_hashed_and_split_by_patient() {
        let dir = tempfile::tempdir().unwrap();
        let films = dir.path().join("films");
        for name in ["p1/a.png", "p1/deep/b.png", "p2/c.png", "d.png"] {
            write_grey(&films.join(name), &[7; 16], 4).unwrap();
        }
        std::fs::write(films.join("broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
        std::fs::write(films.join("notes.txt"), b"x").unwrap();
        let csv = dir.path().join("lists/m.csv");
        let out = read(&films, &csv, "Site", PatientFrom::Folder, &Limits::default()).unwrap();
        out.manifest.write(&csv).unwrap();
        assert_eq!(out.failed.len(), 1);
        assert!(out.failed[0].0.ends_with("broken.png"));
        let again = Manifest::read(&csv).unwrap();
        let files: Vec<&str> = again.rows.iter().map(|r| r.file.as_str()).collect();
        assert_eq!(files, ["../films/d.png", "../films/p1/a.png", "../films/p1/deep/b.png", "../films/p2/c.png"]);
        for row in &again.rows {
            assert!(again.folder.join(&row.file).exists());
            assert_eq!(row.other, ["4", "4"]);
            assert!(row.patient_id.len() == 16 && row.split == Some(Split::of_patient(&row.patient_id)));
        }
        assert_eq!(again.rows[1].patient_id, again.rows[2].patient_id);
        assert_ne!(again.rows[1].patient_id, again.rows[3].patient_id);
        let by_stem = read(&films, &csv, "Site", PatientFrom::Stem, &Limits::default()).unwrap();
        assert_ne!(by_stem.manifest.rows[1].patient_id, by_stem.manifest.rows[2].patient_id);
    }
}
