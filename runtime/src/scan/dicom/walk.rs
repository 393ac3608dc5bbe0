//! One pass over a data set: the few elements a picture is made of, and those that say whose it is, as slices of the
//! file. Everything else is stepped over. Nothing is allocated by a declared length.

use std::collections::HashMap;
use std::io::Cursor;

use dicom_parser::StatefulDecode;
use dicom_parser::dataset::LazyDataToken;
use dicom_parser::dataset::lazy_read::LazyDataSetReader;

use super::syntax::Syntax;
use super::{malformed, unsupported};
use crate::Result;

/// Deeper than any real object's sequences.
const MAX_DEPTH: usize = 64;
/// A film has one to a few; a bound for hostile files.
const MAX_FRAGMENTS: usize = 100_000;

/// Group and element number.
pub(super) type Tag = (u16, u16);

const MODALITY_LUT: Tag = (0x0028, 0x3000);
const VOI_LUT: Tag = (0x0028, 0x3010);
const PIXEL_DATA: Tag = (0x7fe0, 0x0010);
const FLOAT_PIXEL_DATA: [Tag; 2] = [(0x7fe0, 0x0008), (0x7fe0, 0x0009)];

/// Whose picture it is and what it belongs to: text only, kept as bytes in the file's own character set.
const HEADER: [Tag; 38] = [
    (0x0008, 0x0005), // SpecificCharacterSet
    (0x0008, 0x0012), // InstanceCreationDate
    (0x0008, 0x0013), // InstanceCreationTime
    (0x0008, 0x0016), // SOPClassUID
    (0x0008, 0x0018), // SOPInstanceUID
    (0x0008, 0x0020), // StudyDate
    (0x0008, 0x0021), // SeriesDate
    (0x0008, 0x0022), // AcquisitionDate
    (0x0008, 0x0023), // ContentDate
    (0x0008, 0x0030), // StudyTime
    (0x0008, 0x0031), // SeriesTime
    (0x0008, 0x0032), // AcquisitionTime
    (0x0008, 0x0033), // ContentTime
    (0x0008, 0x0050), // AccessionNumber
    (0x0008, 0x0060), // Modality
    (0x0008, 0x0090), // ReferringPhysicianName
    (0x0008, 0x0201), // TimezoneOffsetFromUTC
    (0x0008, 0x1030), // StudyDescription
    (0x0008, 0x1048), // PhysiciansOfRecord
    (0x0010, 0x0010), // PatientName
    (0x0010, 0x0020), // PatientID
    (0x0010, 0x0021), // IssuerOfPatientID
    (0x0010, 0x0022), // TypeOfPatientID
    (0x0010, 0x0030), // PatientBirthDate
    (0x0010, 0x0032), // PatientBirthTime
    (0x0010, 0x0040), // PatientSex
    (0x0010, 0x1010), // PatientAge
    (0x0010, 0x1020), // PatientSize
    (0x0010, 0x1030), // PatientWeight
    (0x0012, 0x0062), // PatientIdentityRemoved
    (0x0012, 0x0063), // DeidentificationMethod
    (0x0018, 0x0015), // BodyPartExamined
    (0x0018, 0x5101), // ViewPosition
    (0x0020, 0x000d), // StudyInstanceUID
    (0x0020, 0x000e), // SeriesInstanceUID
    (0x0020, 0x0010), // StudyID
    (0x0020, 0x0020), // PatientOrientation
    (0x0020, 0x0060), // Laterality
];

/// The pixel data as stored.
#[derive(Debug)]
pub(super) enum PixelData<'a> {
    Native {
        bytes: &'a [u8],
        /// Written as 16-bit words (VR OW), which matters for 8-bit samples in big endian.
        words: bool,
    },
    /// The fragments, without the offset table.
    Encapsulated(Vec<&'a [u8]>),
}

/// The elements of the image.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    /// Those of [`HEADER`] that are there.
    pub header: HashMap<Tag, &'a [u8]>,
    /// Group 0028 of the data set itself.
    pub image: HashMap<Tag, &'a [u8]>,
    /// Group 0028 of the first item of the Modality LUT Sequence.
    pub modality_lut: HashMap<Tag, &'a [u8]>,
    /// Group 0028 of the first item of the VOI LUT Sequence.
    pub voi_lut: HashMap<Tag, &'a [u8]>,
    pub pixel_data: PixelData<'a>,
}

/// Reads up to the end of the pixel data.
pub(super) fn walk<'a>(dataset: &'a [u8], syntax: &Syntax) -> Result<Elements<'a>> {
    let broken = |_| malformed("its elements do not follow the rules of the transfer syntax, or it is truncated");
    let mut reader = LazyDataSetReader::new_with_ts(Cursor::new(dataset), &syntax.parser()).map_err(broken)?;
    let (mut header, mut image) = (HashMap::new(), HashMap::new());
    let (mut modality_lut, mut voi_lut) = (HashMap::new(), HashMap::new());
    let mut fragments: Option<Vec<&[u8]>> = None;
    // The sequences around the next token; None for the fragments of pixel data.
    let mut path: Vec<Option<Tag>> = Vec::new();
    let (mut modality_items, mut voi_items) = (0, 0);
    while let Some(token) = reader.advance() {
        match token.map_err(broken)? {
            LazyDataToken::SequenceStart { tag, .. } => {
                if path.len() >= MAX_DEPTH {
                    return Err(malformed("its sequences are nested too deeply"));
                }
                path.push(Some((tag.0, tag.1)));
            }
            LazyDataToken::PixelSequenceStart => {
                if path.is_empty() {
                    fragments = Some(Vec::new());
                }
                path.push(None);
            }
            LazyDataToken::SequenceEnd => {
                path.pop();
                if let (true, Some(fragments)) = (path.is_empty(), fragments.take()) {
                    let fragments = fragments.into_iter().skip(1).collect();
                    let pixel_data = PixelData::Encapsulated(fragments);
                    return Ok(Elements { header, image, modality_lut, voi_lut, pixel_data });
                }
            }
            LazyDataToken::ItemStart { len } => match (&mut fragments, path.last()) {
                // An empty item of pixel data has no value token.
                (Some(fragments), _) if len.0 == 0 => fragments.push(&[]),
                (_, Some(&Some(MODALITY_LUT))) if path.len() == 1 => modality_items += 1,
                (_, Some(&Some(VOI_LUT))) if path.len() == 1 => voi_items += 1,
                _ => {}
            },
            LazyDataToken::LazyValue { header: element, mut decoder } => {
                let tag = (element.tag.0, element.tag.1);
                let value = value(dataset, &mut decoder, element.len.0)?;
                if !path.is_empty() {
                    if path == [Some(MODALITY_LUT)] && modality_items == 1 && tag.0 == 0x0028 {
                        modality_lut.insert(tag, value);
                    } else if path == [Some(VOI_LUT)] && voi_items == 1 && tag.0 == 0x0028 {
                        voi_lut.insert(tag, value);
                    }
                } else if tag == PIXEL_DATA {
                    let words = element.vr.to_bytes() == *b"OW";
                    let pixel_data = PixelData::Native { bytes: value, words };
                    return Ok(Elements { header, image, modality_lut, voi_lut, pixel_data });
                } else if FLOAT_PIXEL_DATA.contains(&tag) {
                    return Err(unsupported("its pixels are floating-point numbers"));
                } else if tag.0 == 0x0028 {
                    image.insert(tag, value);
                } else if HEADER.contains(&tag) {
                    header.insert(tag, value);
                }
            }
            LazyDataToken::LazyItemValue { len, mut decoder } => {
                let value = value(dataset, &mut decoder, len)?;
                if let Some(fragments) = &mut fragments {
                    if fragments.len() >= MAX_FRAGMENTS {
                        return Err(malformed("its pixel data are in too many fragments"));
                    }
                    fragments.push(value);
                }
            }
            _ => {}
        }
    }
    Err(malformed(if fragments.is_some() {
        "it is truncated within the pixel data"
    } else {
        "the tag PixelData (7FE0,0010) is missing"
    }))
}

/// Without the padding of strings.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let end = value.iter().rposition(|&b| b != 0 && b != b' ').map_or(0, |last| last + 1);
    value[..end].trim_ascii()
}

/// The next `length` bytes of the data set.
fn value<'a>(dataset: &'a [u8], decoder: &mut impl StatefulDecode, length: u32) -> Result<&'a [u8]> {
    let start = usize::try_from(decoder.position()).unwrap_or(usize::MAX);
    let value = usize::try_from(length).ok().and_then(|length| dataset.get(start..start.checked_add(length)?));
    let value = value.ok_or_else(|| malformed("it is truncated"))?;
    decoder.skip_bytes(length).map_err(|_| malformed("it is truncated"))?;
    Ok(value)
}
