//! Results as DICOM objects of the source image's study: a structured report, a picture with the heat map, a
//! segmentation. Each is a new instance in a new series of its own.
//!
//! The same source, model and wishes give the same bytes: identifiers are derived from the content, and the content's
//! date and time are those of the source's acquisition (else of its content, series, study or creation; else
//! 1970-01-01), not of the moment.

mod capture;
mod concept;
mod content;
mod dataset;
mod font;
mod modules;
mod report;
mod segmentation;
mod uid;

use crate::reader::Reading;
use crate::scan::Scan;
use crate::scan::dicom::source::Source;
use crate::{Error, ErrorKind, Result};

use modules::Context;

/// What every object says of itself.
const NOTICE: &str =
    "AI-generated research output, not verified by a person. Not a medical device; not for clinical use.";

/// DICOM Part 10 files (explicit VR, little endian) made from what `reading` holds and from the patient and the study
/// of `source`, the bytes of the DICOM file that `scan` was decoded from:
/// - `sr`: Comprehensive SR after TID 1500 (PS3.16) with findings, estimates, report and warnings; always;
/// - `sc`: Secondary Capture with the heat map, where there is one;
/// - `seg`: Segmentation, one segment a mask, where there are masks.
///
/// # Errors
/// `UnsupportedFormat` when `source` is no DICOM file; `Malformed` when it names no study, series or instance to refer
/// to; `Usage` when `scan` came from other bytes; `Internal`.
pub fn objects(source: &[u8], scan: &Scan, reading: &Reading) -> Result<Vec<(&'static str, Vec<u8>)>> {
    if crate::scan::read::sha256(source) != scan.sha256 {
        return Err(Error::new(ErrorKind::Usage, "the DICOM file is not the one that the scan was decoded from")
            .hint("the file may have changed: read it again"));
    }
    let source = Source::of(source)?;
    let context = Context::new(&source, scan, &reading.answer)?;
    let mut objects = vec![("sr", report::write(&context)?)];
    if let Some(picture) = &reading.heatmap {
        objects.push(("sc", capture::write(&context, picture, reading.heatmap_of.as_ref())?));
    }
    if !reading.masks.is_empty() {
        objects.push(("seg", segmentation::write(&context, &reading.masks)?));
    }
    Ok(objects)
}
