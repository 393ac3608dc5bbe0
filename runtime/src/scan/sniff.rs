//! What a file is, from its first bytes; names and suffixes are not trusted.

use super::Format;
use crate::{Error, ErrorKind, Result};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";
const DICOM: &[u8] = b"DICM";
/// Where DICOM's magic stands, behind a preamble that may hold anything.
const DICOM_AT: usize = 128;
const REMEDY: &str = if cfg!(feature = "dicom") {
    "this build reads PNG, JPEG and DICOM: export the picture as one of these"
} else {
    "this build reads PNG and JPEG: export the picture as one of these"
};

pub(super) fn sniff(bytes: &[u8]) -> Result<Format> {
    if bytes.is_empty() {
        return Err(Error::new(ErrorKind::Malformed, "the file is empty").hint("copy the file again"));
    }
    if bytes.starts_with(PNG) {
        return Ok(Format::Png);
    }
    if bytes.starts_with(JPEG) {
        return Ok(Format::Jpeg);
    }
    #[cfg(feature = "dicom")]
    if is_dicom(bytes) {
        return Ok(Format::Dicom);
    }
    if bytes.len() < PNG.len() && (PNG.starts_with(bytes) || JPEG.starts_with(bytes)) {
        return Err(Error::new(ErrorKind::Malformed, "the file is truncated").hint("copy the file again"));
    }
    let what = name(bytes).map_or_else(|| "in no known format".to_string(), ToString::to_string);
    Err(Error::new(ErrorKind::UnsupportedFormat, format!("the file is {what}, which this build does not read"))
        .hint(REMEDY))
}

#[cfg(feature = "dicom")]
pub(super) fn is_dicom(bytes: &[u8]) -> bool {
    bytes.get(DICOM_AT..).is_some_and(|rest| rest.starts_with(DICOM))
}

fn name(bytes: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    let known: [(usize, &[u8], &str); 16] = [
        (DICOM_AT, DICOM, "a DICOM file"),
        (0, b"GIF8", "a GIF picture"),
        (0, b"II*\0", "a TIFF picture"),
        (0, b"MM\0*", "a TIFF picture"),
        (0, b"BM", "a BMP picture"),
        (8, b"WEBP", "a WebP picture"),
        (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
        (0, b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
        (0, b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
        (0, b"\xff\x0a", "a JPEG XL picture"),
        (4, b"ftyp", "a HEIC, AVIF or video file"),
        (0, b"%PDF", "a PDF document"),
        (0, b"PK\x03\x04", "a ZIP archive"),
        (0, b"\x1f\x8b", "a gzip archive"),
        (0, b"\x93NUMPY", "a NumPy array"),
        (0, b"P5", "a PGM picture"),
    ];
    let found = known.into_iter().find(|&(offset, magic, _)| at(offset, magic)).map(|(_, _, name)| name);
    found.or_else(|| is_text(&bytes[..bytes.len().min(512)]).then_some("text"))
}

fn is_text(start: &[u8]) -> bool {
    start.iter().all(|&b| b >= 0x20 || matches!(b, b'\t' | b'\n' | b'\r' | 0x0c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> (ErrorKind, String) {
        let error = sniff(bytes).unwrap_err();
        assert!(error.remedy().is_some());
        (error.kind(), error.message().to_string())
    }

    #[test]
    fn known_formats() {
        assert_eq!(sniff(b"\x89PNG\r\n\x1a\nrest").unwrap(), Format::Png);
        assert_eq!(sniff(b"\xff\xd8\xff\xe0rest").unwrap(), Format::Jpeg);
    }

    #[test]
    fn others_are_named() {
        let cases: [(&[u8], &str); 6] = [
            (b"GIF89a......", "GIF"),
            (b"II*\0....", "TIFF"),
            (b"BM......", "BMP"),
            (b"RIFF....WEBPVP8 ", "WebP"),
            (b"file,source\n", "text"),
            (b"\x00\x01\x02\x03", "known"),
        ];
        for (bytes, word) in cases {
            let (kind, message) = refused(bytes);
            assert_eq!(kind, ErrorKind::UnsupportedFormat);
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn dicom_is_read_or_named() {
        let dicom = [&[0; DICOM_AT][..], DICOM].concat();
        #[cfg(feature = "dicom")]
        assert_eq!(sniff(&dicom).unwrap(), Format::Dicom);
        #[cfg(not(feature = "dicom"))]
        assert!(refused(&dicom).1.contains("DICOM"));
    }

    #[test]
    fn empty_and_cut_signatures_are_malformed() {
        for bytes in [&b""[..], b"\x89PN", b"\xff\xd8", b"\xff"] {
            assert_eq!(refused(bytes).0, ErrorKind::Malformed);
        }
    }
}
