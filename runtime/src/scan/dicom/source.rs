//! Who and what a DICOM file is about: what results that belong to it must repeat. Nothing of it gets into messages.

use std::collections::HashMap;

use super::walk::{self, Elements, Tag};
use super::{Syntax, malformed, syntax};
use crate::Result;
use crate::scan::read::sha256;
use crate::scan::{Limits, Tags, sniff};

/// No text element of a header is longer; what is, is left out.
const MAX_VALUE: usize = 10_240;

/// The header of a DICOM file: text elements as bytes in the file's own character set, padding included.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    values: HashMap<Tag, Vec<u8>>,
    transfer_syntax: String,
}

impl Source {
    /// Reads the header of a file that [`decode`](crate::scan::decode) has read: its limits have been checked.
    ///
    /// # Errors
    /// `UnsupportedFormat` for what is no DICOM, `Malformed` for a broken one.
    pub fn of(bytes: &[u8]) -> Result<Source> {
        if !sniff::is_dicom(bytes) {
            return Err(super::unsupported("the file is no DICOM file"));
        }
        let (transfer_syntax, dataset) = syntax::split(bytes)?;
        let syntax = Syntax::of(&transfer_syntax)?;
        let inflated;
        let dataset = if syntax.deflated() {
            inflated = syntax::inflate(dataset, &Limits { max_decoded_bytes: u64::MAX - 1, ..Limits::default() })?;
            &inflated
        } else {
            dataset
        };
        Ok(Source::from_elements(&walk::walk(dataset, &syntax)?, &transfer_syntax))
    }

    pub(super) fn from_elements(elements: &Elements, transfer_syntax: &str) -> Source {
        let values = elements.header.iter().chain(&elements.image);
        let values = values.filter(|(_, value)| value.len() <= MAX_VALUE).map(|(tag, value)| (*tag, value.to_vec()));
        Source { values: values.collect(), transfer_syntax: transfer_syntax.to_string() }
    }

    /// What may be shown beside our estimates.
    pub(super) fn tags(&self) -> Tags {
        let word = |tag, is_valid: fn(&str) -> bool| self.text(tag).filter(|word| is_valid(word)).map(str::to_string);
        let patient = self.bytes((0x0010, 0x0020)).map(|id| {
            let issuer = self.bytes((0x0010, 0x0021)).unwrap_or_default();
            sha256(&[walk::trim(id), b"\0", walk::trim(issuer)].concat())
        });
        Tags {
            view_position: word((0x0018, 0x5101), |word| {
                word.len() <= 16 && word.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'_'))
            }),
            patient_sex: word((0x0010, 0x0040), |word| matches!(word, "M" | "F" | "O")),
            patient_age: word((0x0010, 0x1010), |word| {
                word.len() == 4
                    && word.ends_with(['D', 'W', 'M', 'Y'])
                    && word.bytes().take(3).all(|b| b.is_ascii_digit())
            }),
            patient_sha256: patient,
        }
    }

    /// The value as stored; `None` when it is absent or blank.
    pub fn bytes(&self, tag: Tag) -> Option<&[u8]> {
        self.values.get(&tag).map(Vec::as_slice).filter(|value| value.iter().any(|&b| b != b' ' && b != 0))
    }

    /// The value without padding, where it is plain ASCII.
    pub fn text(&self, tag: Tag) -> Option<&str> {
        let value = std::str::from_utf8(self.bytes(tag)?).ok().filter(|value| value.is_ascii())?;
        Some(value.trim_matches([' ', '\0']))
    }

    /// A value that must be a UID.
    ///
    /// # Errors
    /// `Malformed` naming the tag.
    pub fn uid(&self, tag: Tag, name: &str) -> Result<&str> {
        let is_uid = |uid: &&str| uid.len() <= 64 && uid.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        self.text(tag).filter(is_uid).ok_or_else(|| {
            malformed(format_args!(
                "the tag {name} ({:04X},{:04X}) holds no UID, so that no result can refer to it",
                tag.0, tag.1
            ))
        })
    }

    /// Whether the pixels went through a lossy codec on their way.
    pub fn is_lossy(&self) -> bool {
        const LOSSY: [&str; 4] =
            ["1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51", "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91"];
        self.text((0x0028, 0x2110)) == Some("01") || LOSSY.contains(&self.transfer_syntax.as_str())
    }

    /// Number of frames, 1 where it is not said.
    pub fn frames(&self) -> u32 {
        self.text((0x0028, 0x0008)).and_then(|frames| frames.parse().ok()).unwrap_or(1)
    }
}
