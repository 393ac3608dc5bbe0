//! JPEG 2000, reversible and irreversible, through openjp2.

use jpeg2k::{DecodeParameters, Image};

use super::attributes::Attributes;
use super::decode::other_size;
use super::{malformed, unsupported};
use crate::Result;

mod header;

use header::Size;

/// Samples, row-major.
pub(super) fn decode(frame: &[u8], attributes: &Attributes) -> Result<Vec<u16>> {
    let image = image(frame, attributes, 1)?;
    let [component] = image.components() else { return Err(other_size()) };
    if component.precision() > 16 || (component.width(), component.height()) != size(attributes) {
        return Err(other_size());
    }
    // Two's complement for signed components.
    Ok(component.data().iter().map(|&sample| sample as u16).collect())
}

/// [rows, columns, 3]; the decoder undoes the stream's colour transform.
pub(super) fn decode_rgb(frame: &[u8], attributes: &Attributes) -> Result<Vec<u8>> {
    let image = image(frame, attributes, 3)?;
    let [red, green, blue] = image.components() else { return Err(other_size()) };
    let fits = |c: &&jpeg2k::ImageComponent| {
        c.precision() <= 8 && !c.is_signed() && (c.width(), c.height()) == size(attributes)
    };
    if ![red, green, blue].iter().all(fits) {
        return Err(unsupported("its JPEG 2000 stream is not 8-bit RGB of one resolution"));
    }
    let pixels = red.data().iter().zip(green.data()).zip(blue.data());
    Ok(pixels.flat_map(|((&r, &g), &b)| [r, g, b].map(|sample| sample.clamp(0, 255) as u8)).collect())
}

fn image(frame: &[u8], attributes: &Attributes, components: u16) -> Result<Image> {
    // Checked here, because the decoder allocates what the stream says.
    let stream = Size::of(frame).ok_or_else(|| malformed("its JPEG 2000 stream has no size segment"))?;
    if stream.components != components {
        return Err(unsupported(format_args!("its JPEG 2000 stream has {} components a pixel", stream.components)));
    }
    if (stream.width, stream.height) != size(attributes) {
        return Err(other_size());
    }
    stream.check_cost(frame)?;
    Image::from_bytes_with(frame, DecodeParameters::new().strict(true))
        .map_err(|e| malformed("its JPEG 2000 stream is damaged or truncated").source(e))
}

fn size(attributes: &Attributes) -> (u32, u32) {
    (attributes.columns.into(), attributes.rows.into())
}
