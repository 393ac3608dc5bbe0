//! JPEG-LS, lossless and near-lossless, through pure_jpegls.

use super::attributes::Attributes;
use super::malformed;
use crate::Result;

/// Samples, row-major.
pub(super) fn decode(frame: &[u8], attributes: &Attributes) -> Result<Vec<u16>> {
    // The decoder compares the size with its own header before it allocates, and insists on the end marker.
    let (samples, _, _) = ::jpegls::decode(frame, attributes.columns.into(), attributes.rows.into()).map_err(|e| {
        malformed("its JPEG-LS stream is damaged, truncated, in colour or of another size").source(e.to_string())
    })?;
    Ok(samples)
}
