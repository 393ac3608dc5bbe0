//! DICOM: one grey picture a file, from its stored values to 8 bits.
//!
//! Stored values go through the Modality LUT, then linearly from their own minimum and maximum, padding excluded, to
//! 0..255; MONOCHROME1 is inverted last. 8-bit files follow the same rule. The VOI LUT and windows are ignored, as in
//! RAD-DINO's own preprocessing, unless asked for; colour and further frames are refused unless forced. Only sizes, transfer syntaxes and words of our own appear in messages.

use super::read::Decoded;
use super::{Format, Options, Pixels, Voi};
use crate::{Error, ErrorKind, Result};

mod attributes;
mod color;
mod decode;
mod jpeg2000;
mod jpegls;
mod lossless;
mod lut;
mod rle;
// Only results that go out as DICOM need all of it.
#[cfg_attr(not(feature = "engine"), allow(dead_code))]
pub(crate) mod source;
mod stretch;
mod syntax;
#[cfg(test)]
mod tests;
mod voi;
mod walk;

use attributes::Attributes;
use syntax::Syntax;

pub(super) fn decode(bytes: &[u8], options: &Options) -> Result<Decoded> {
    let limits = &options.limits;
    let (uid, dataset) = syntax::split(bytes)?;
    let syntax = Syntax::of(&uid)?;
    let inflated;
    let dataset = if syntax.deflated() {
        inflated = syntax::inflate(dataset, limits)?;
        &inflated
    } else {
        dataset
    };
    let elements = walk::walk(dataset, &syntax)?;
    let attributes = Attributes::of(&elements, syntax.big_endian(), options.force_photometric)?;
    attributes.check(limits)?;
    let at_syntax = |e: Error| e.at(format_args!("transfer syntax {uid}"));
    let pixels = if let Some(color) = attributes.color {
        let samples = color::decode(&elements.pixel_data, &attributes, color, &syntax, limits).map_err(at_syntax)?;
        Pixels::from_rgb(samples)
    } else {
        let words = decode::decode(&elements.pixel_data, &attributes, &syntax, limits).map_err(at_syntax)?;
        let lut = lut::ModalityLut::of(&elements, attributes.stored, syntax.big_endian())?;
        let voi = match options.voi {
            Voi::None => None,
            Voi::First => voi::VoiLut::first(&elements, lut.is_signed(attributes.stored), syntax.big_endian())?,
        };
        Pixels::Gray8(stretch::stretch(&words, &attributes, &lut, voi.as_ref()))
    };
    let tags = source::Source::from_elements(&elements, &uid).tags();
    Ok(Decoded { width: attributes.columns.into(), height: attributes.rows.into(), pixels, tags })
}

fn malformed(problem: impl std::fmt::Display) -> Error {
    super::read::malformed(Format::Dicom, problem)
}

fn unsupported(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::UnsupportedFormat, format!("this kind of DICOM is not read: {what}"))
        .hint("send one grey picture a file, such as a CR or DX image, uncompressed or losslessly compressed")
}

/// What forcing helps against.
fn unsupported_unless_forced(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::UnsupportedFormat, format!("this kind of DICOM is not read: {what}"))
        .hint("send one grey picture a file, such as a CR or DX image, or read it as it is with --force-photometric")
}
