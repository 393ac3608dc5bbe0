//! What a request wants beside findings, from its query.

use serde::{Deserialize, Deserializer};

use crate::reader::{HeatmapOf, Wish};
use crate::scan::Voi;

/// The query of `POST /v1/infer`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Options {
    /// A picture of the CLS token's attention.
    #[serde(deserialize_with = "switch")]
    pub heatmap: bool,
    /// A picture of the patches' evidence for this finding instead.
    pub heatmap_for: Option<String>,
    /// Masks as pictures.
    #[serde(deserialize_with = "switch")]
    pub masks: bool,
    /// A written report.
    #[serde(deserialize_with = "switch")]
    pub report: bool,
    /// The values behind all heat maps.
    #[serde(deserialize_with = "switch")]
    pub maps: bool,
    /// Grey levels of DICOM.
    #[serde(deserialize_with = "voi")]
    pub voi: Voi,
    /// The film as a picture that a browser shows.
    #[serde(deserialize_with = "switch")]
    pub display: bool,
}

impl Options {
    pub fn wish(&self) -> Wish {
        let heatmap = match &self.heatmap_for {
            Some(label) => Some(HeatmapOf::Finding(label.clone())),
            None => self.heatmap.then_some(HeatmapOf::Attention),
        };
        Wish { heatmap, masks: self.masks, report: self.report, maps: self.maps }
    }
}

fn voi<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Voi, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "none" => Ok(Voi::None),
        "first" => Ok(Voi::First),
        _ => Err(serde::de::Error::custom("voi is none or first")),
    }
}

/// `?report`, `?report=true` and `?report=1` are one.
fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err(serde::de::Error::custom("a switch is true or false")),
    }
}
