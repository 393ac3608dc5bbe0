//! Transfer syntaxes: which one a file is in, and what that means for its data set.

use std::io::Read;

use dicom_transfer_syntax_registry::{TransferSyntax, entries};
use flate2::read::DeflateDecoder;

use super::{malformed, unsupported};
use crate::scan::Limits;
use crate::{Error, ErrorKind, Result};

const MAGIC_END: usize = 132;
/// Length of the longest UID.
const MAX_UID: usize = 64;

/// How the pixel data are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Native,
    Rle,
    /// Baseline and extended: lossy, DCT.
    Jpeg,
    JpegLossless,
    JpegLs,
    Jpeg2000,
}

/// A transfer syntax this build decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Syntax {
    pub coding: Coding,
    dataset: Dataset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dataset {
    ImplicitLittle,
    ExplicitLittle,
    ExplicitBig,
    Deflated,
}

impl Syntax {
    /// The syntax with this UID (PS3.6, table A-1).
    pub fn of(uid: &str) -> Result<Syntax> {
        let explicit = |coding| Syntax { coding, dataset: Dataset::ExplicitLittle };
        let native = |dataset| Syntax { coding: Coding::Native, dataset };
        Ok(match uid {
            "1.2.840.10008.1.2" => native(Dataset::ImplicitLittle),
            "1.2.840.10008.1.2.1" => native(Dataset::ExplicitLittle),
            "1.2.840.10008.1.2.2" => native(Dataset::ExplicitBig),
            "1.2.840.10008.1.2.1.99" => native(Dataset::Deflated),
            "1.2.840.10008.1.2.5" => explicit(Coding::Rle),
            "1.2.840.10008.1.2.4.50" | "1.2.840.10008.1.2.4.51" => explicit(Coding::Jpeg),
            "1.2.840.10008.1.2.4.57" | "1.2.840.10008.1.2.4.70" => explicit(Coding::JpegLossless),
            "1.2.840.10008.1.2.4.80" | "1.2.840.10008.1.2.4.81" => explicit(Coding::JpegLs),
            "1.2.840.10008.1.2.4.90" | "1.2.840.10008.1.2.4.91" => explicit(Coding::Jpeg2000),
            _ => return Err(unsupported(format_args!("its transfer syntax is {uid}"))),
        })
    }

    pub fn deflated(self) -> bool {
        self.dataset == Dataset::Deflated
    }

    pub fn big_endian(self) -> bool {
        self.dataset == Dataset::ExplicitBig
    }

    /// What dicom-parser calls it; the coding of the pixel data is ours to undo.
    pub fn parser(self) -> TransferSyntax {
        match self.dataset {
            Dataset::ImplicitLittle => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
            Dataset::ExplicitBig => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
            Dataset::ExplicitLittle | Dataset::Deflated => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
        }
    }
}

/// The transfer syntax UID in the file meta information, and the data set behind it (PS3.10, 7.1). The meta group is
/// always explicit, little endian; its length element is not needed, because the data set begins with another group.
pub(super) fn split(bytes: &[u8]) -> Result<(String, &[u8])> {
    let cut = || malformed("it ends within the file meta information");
    let mut rest = bytes.get(MAGIC_END..).ok_or_else(cut)?;
    let mut uid = None;
    while let Some((&[2, 0, element_low, element_high, vr_0, vr_1, low, high], after)) = rest.split_first_chunk() {
        let long = matches!(&[vr_0, vr_1], b"OB" | b"OW" | b"OF" | b"OD" | b"OL" | b"OV" | b"SQ" | b"UN" | b"UT");
        let (length, after) = if long {
            let (length, after) = after.split_first_chunk().ok_or_else(cut)?;
            (usize::try_from(u32::from_le_bytes(*length)).map_err(|_| cut())?, after)
        } else {
            (usize::from(u16::from_le_bytes([low, high])), after)
        };
        let (value, after) = after.split_at_checked(length).ok_or_else(cut)?;
        if (element_low, element_high) == (0x10, 0) {
            uid = Some(text(value)?);
        }
        rest = after;
    }
    let uid = uid.ok_or_else(|| malformed("the tag TransferSyntaxUID (0002,0010) is missing"))?;
    Ok((uid, rest))
}

/// Nothing but digits and dots gets into messages.
fn text(value: &[u8]) -> Result<String> {
    let value = value.trim_ascii_end();
    let end = value.iter().position(|&b| b == 0).unwrap_or(value.len());
    let uid = &value[..end];
    if uid.is_empty() || uid.len() > MAX_UID || !uid.iter().all(|&b| b.is_ascii_digit() || b == b'.') {
        return Err(malformed("the tag TransferSyntaxUID (0002,0010) holds no UID"));
    }
    Ok(uid.iter().map(|&b| char::from(b)).collect())
}

/// The data set of a deflated file. It may be as large as a decoded picture; memory grows with what comes out.
pub(super) fn inflate(deflated: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let max = limits.max_decoded_bytes;
    let mut dataset = Vec::new();
    DeflateDecoder::new(deflated)
        .take(max.saturating_add(1))
        .read_to_end(&mut dataset)
        .map_err(|e| malformed("its deflated data are damaged or truncated").source(e))?;
    if dataset.len() as u64 > max {
        let message = format!("the deflated data set is larger than the limit of {max} bytes");
        return Err(Error::new(ErrorKind::Limits, message).hint("raise --max-decoded-mb if the file is to be trusted"));
    }
    Ok(dataset)
}
