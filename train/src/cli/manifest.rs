//! `rad-dino-train manifest`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use rad_dino_edge::{Error, ErrorKind, Result};

use super::options::{Common, ScanLimits};
use super::{Tally, complain};
use crate::data::folder::{self, PatientFrom};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Patient {
    /// The patient ID of a DICOM film, else the first sub-folder, else the file's stem.
    Folder,
    /// The file's stem.
    Stem,
}

/// Makes a manifest.csv of a folder of PNG, JPEG and DICOM files; DICOM tags give patient (hashed), view, sex and age.
#[derive(Debug, Args)]
pub struct Manifest {
    /// The folder, with sub-folders.
    folder: PathBuf,
    /// The csv to write; paths in it are relative to its folder.
    #[arg(long, value_name = "CSV")]
    out: PathBuf,
    /// Name of the source; without it the folder's name.
    #[arg(long)]
    source: Option<String>,
    /// What names the patient of a film (hashed). Use `stem` where sub-folders are classes, not patients.
    #[arg(long, value_enum, default_value = "folder")]
    patient: Patient,
    #[command(flatten)]
    limits: ScanLimits,
    #[command(flatten)]
    common: Common,
}

impl Manifest {
    pub(super) fn run(self) -> Result<Tally> {
        self.common.start()?;
        let source = match self.source {
            Some(source) => source,
            None => {
                let absolute = std::fs::canonicalize(&self.folder).map_err(|e| Error::io(&self.folder, e))?;
                let name = absolute.file_name().map(|n| n.to_string_lossy().into_owned());
                name.ok_or_else(|| Error::new(ErrorKind::Usage, "the folder has no name").hint("give --source"))?
            }
        };
        let patients = match self.patient {
            Patient::Folder => PatientFrom::Folder,
            Patient::Stem => PatientFrom::Stem,
        };
        let out = folder::read(&self.folder, &self.out, &source, patients, &self.limits.limits())?;
        complain(out.failed.iter().map(|(path, error)| (path.as_path(), error)));
        let tally = Tally { done: out.manifest.rows.len(), failed: out.failed.len() };
        if tally.done > 0 {
            out.manifest.write(&self.out)?;
            let patients: std::collections::BTreeSet<&str> =
                out.manifest.rows.iter().map(|r| r.patient_id.as_str()).collect();
            let patients = patients.len();
            self.common.note(&format!("{} films of {patients} patients, {} skipped", tally.done, tally.failed));
        }
        Ok(tally)
    }
}
