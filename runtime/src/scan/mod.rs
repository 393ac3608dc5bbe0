//! Bytes to pixels: PNG, JPEG and (feature `dicom`) DICOM, recognised by content, within limits, with one meaning of "the same pixels".
//!
//! 8-bit files give what Pillow's `convert("RGB")` gives: alpha is dropped and not blended, a palette becomes its
//! colours, EXIF orientation is ignored. 16-bit PNG are stretched linearly from their own minimum and maximum, DICOM
//! of any depth likewise, after the Modality LUT and without padding, MONOCHROME1 inverted last; [`Options`] let the
//! file's own window decide instead, and read what is no single grey picture.

mod collect;
mod depth;
#[cfg(feature = "dicom")]
pub(crate) mod dicom;
mod jpeg;
mod limits;
mod options;
mod pixels;
mod png;
pub(crate) mod read;
mod sniff;
mod tags;
#[cfg(test)]
mod tests;

pub use collect::collect;
pub use limits::Limits;
pub use options::{Options, Voi};
pub use pixels::Pixels;
pub use read::{bytes, decode, read};
pub use tags::Tags;

/// A decoded picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 8-bit pixels, row-major.
    pub pixels: Pixels,
    /// What the file was.
    pub format: Format,
    /// SHA-256 of the file's bytes, lower-case hex.
    pub sha256: String,
    /// What a DICOM file says beside; empty for other formats.
    pub tags: Tags,
}

/// A file format this build reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Portable Network Graphics.
    Png,
    /// JPEG, baseline or progressive.
    Jpeg,
    /// DICOM, one grey frame unless forced.
    #[cfg(feature = "dicom")]
    Dicom,
}

impl Format {
    /// The word used in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Png => "png",
            Format::Jpeg => "jpeg",
            #[cfg(feature = "dicom")]
            Format::Dicom => "dicom",
        }
    }
}
