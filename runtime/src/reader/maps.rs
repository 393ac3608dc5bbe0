//! The values behind the heat maps, for who draws them.

use serde::Serialize;

use super::Reader;
use crate::engine::Outputs;
use crate::error::{Error, Result};
use crate::preprocess::Geometry;

/// What every heat map of one look shows, one value a patch, row-major.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Maps {
    /// Patches a side.
    pub grid: usize,
    /// Where the grid lies in the scan.
    pub crop: Crop,
    /// The CLS token's attention, [grid²]; empty where the engine keeps none.
    pub attention: Vec<f32>,
    /// One entry a finding, in the model's order.
    pub findings: Vec<Evidence>,
}

/// A rectangle in the scan's pixels; reaches beyond the scan where the crop was padded.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crop {
    /// Left edge.
    pub left: f64,
    /// Upper edge.
    pub top: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// The patches' evidence for one finding.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// The manifest's word.
    pub label: String,
    /// [grid²]: the logit that the head would give if every patch looked like this one.
    pub values: Vec<f32>,
}

impl Reader {
    /// The maps of the first image of a run.
    ///
    /// # Errors
    /// `Model` for a value that is not finite.
    pub(super) fn maps(&self, geometry: &Geometry, outputs: &Outputs) -> Result<Maps> {
        let attention = outputs.cls_attention().to_vec();
        let findings = self.manifest.heads.findings.iter().enumerate().filter_map(|(output, finding)| {
            let values = self.engine.patch_evidence("findings", output, outputs.hidden())?;
            Some(Evidence { label: finding.label.clone(), values })
        });
        let findings: Vec<_> = findings.collect();
        let values = findings.iter().flat_map(|evidence| &evidence.values).chain(&attention);
        if values.into_iter().any(|value| !value.is_finite()) {
            return Err(Error::not_finite("a heat map"));
        }
        let side = geometry.crop_size as f64;
        let ((left, top), (right, bottom)) = (geometry.to_scan(0.0, 0.0), geometry.to_scan(side, side));
        let crop = Crop { left, top, width: right - left, height: bottom - top };
        Ok(Maps { grid: self.engine.shape().patches.isqrt(), crop, attention, findings })
    }
}
