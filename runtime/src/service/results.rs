//! What is left in the folder of results: `<name>.json` and, for DICOM input, the DICOM objects. The JSON comes last, so
//! where it is, all of them are.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::names::hex;
use crate::output::json::{Failure, Warning};
use crate::output::write;
use crate::reader::{HeatmapOf, Reading, Wish};
use crate::scan::Scan;
use crate::{Error, ErrorKind, Result};

/// What follows the name and a dot.
pub const SUFFIXES: [&str; 4] = ["json", "sr.dcm", "sc.dcm", "seg.dcm"];

/// Hashes of the results of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// SHA-256 of the JSON.
    pub json: String,
    /// Suffix (`sr.dcm`) and SHA-256 of each DICOM object.
    pub dicom: BTreeMap<String, String>,
}

/// What is asked of the model: the report always, pictures for the DICOM objects alone.
pub fn wish(scan: &Scan, segments: bool) -> Wish {
    let dicom = scan.format.as_str() == "dicom";
    Wish { heatmap: dicom.then_some(HeatmapOf::Attention), masks: dicom && segments, report: true, maps: false }
}

/// Writes all results of the object `name`, `source` being its bytes. A film that its tags give no place in a study is
/// read all the same; a warning says why there are no DICOM objects.
///
/// # Errors
/// `Io`, `Internal`.
pub fn write(out: &Path, name: &str, source: &[u8], scan: &Scan, mut reading: Reading) -> Result<Written> {
    let objects = match objects(source, scan, &reading) {
        Ok(objects) => objects,
        Err(error) if matches!(error.kind(), ErrorKind::Malformed | ErrorKind::UnsupportedFormat) => {
            let message = format!("no DICOM objects were made: {error}");
            reading.answer.warnings.push(Warning { kind: "no_dicom_objects", message });
            vec![]
        }
        Err(error) => return Err(error),
    };
    let objects: Vec<_> = objects.into_iter().map(|(kind, bytes)| (format!("{kind}.dcm"), bytes)).collect();
    keep(out, name, objects, &reading.answer)
}

/// Writes why the object `name` was refused; `shown` is its `input.path`.
///
/// # Errors
/// `Io`.
pub fn write_failure(out: &Path, name: &str, shown: &str, error: &Error) -> Result<Written> {
    keep(out, name, vec![], &Failure::new(shown, error))
}

/// The results of an object that are there already, whole: of the bytes with the hash `input`, by the model with the
/// hash `model`.
pub fn find(out: &Path, name: &str, input: &str, model: &str) -> Option<Written> {
    let json = fs::read(out.join(format!("{name}.json"))).ok()?;
    let answer: Value = serde_json::from_slice(&json).ok()?;
    let whole = json.ends_with(b"\n") && answer.get("error").is_none();
    if !whole || answer["input"]["sha256"] != input || answer["model"]["sha256"] != model {
        return None;
    }
    let mut dicom = BTreeMap::new();
    for suffix in SUFFIXES.iter().filter(|suffix| suffix.ends_with(".dcm")) {
        if let Ok(bytes) = fs::read(out.join(format!("{name}.{suffix}"))) {
            dicom.insert((*suffix).to_string(), hex(&Sha256::digest(&bytes)));
        }
    }
    Some(Written { json: hex(&Sha256::digest(&json)), dicom })
}

/// The DICOM objects that go with a DICOM scan.
#[cfg(feature = "dicom")]
fn objects(source: &[u8], scan: &Scan, reading: &Reading) -> Result<Vec<(&'static str, Vec<u8>)>> {
    if scan.format == crate::scan::Format::Dicom {
        return crate::output::dicom::objects(source, scan, reading);
    }
    Ok(vec![])
}

#[cfg(not(feature = "dicom"))]
fn objects(_: &[u8], _: &Scan, _: &Reading) -> Result<Vec<(&'static str, Vec<u8>)>> {
    Ok(vec![])
}

/// Writes DICOM objects by their suffixes, and `answer`.
fn keep(out: &Path, name: &str, objects: Vec<(String, Vec<u8>)>, answer: &impl Serialize) -> Result<Written> {
    let mut line =
        serde_json::to_vec(answer).map_err(|e| Error::new(ErrorKind::Internal, "a result is no JSON").source(e))?;
    line.push(b'\n');
    clear(out, name, &objects)?;
    let files = objects.iter().map(|(suffix, bytes)| (format!("{name}.{suffix}"), &bytes[..]));
    let files: Vec<_> = files.chain([(format!("{name}.json"), &line[..])]).collect();
    write::set(out, &files)?;
    let hash = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let json = hash(&line);
    Ok(Written { json, dicom: objects.into_iter().map(|(suffix, bytes)| (suffix, hash(&bytes))).collect() })
}

/// Removes DICOM results of an earlier object by this name that are not written anew.
fn clear(out: &Path, name: &str, written: &[(String, Vec<u8>)]) -> Result<()> {
    for suffix in SUFFIXES.iter().filter(|suffix| suffix.ends_with(".dcm")) {
        if written.iter().any(|(w, _)| w == suffix) {
            continue;
        }
        let path = out.join(format!("{name}.{suffix}"));
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(&path, e)),
            _ => {}
        }
    }
    Ok(())
}
