//! What a calibration found, layer by layer.

use serde::Serialize;

use super::simulate::Cosines;

/// `schema` of the JSON.
pub const SCHEMA: &str = "rad-dino-quantize/calibration/1";

/// The whole calibration: the JSON beside the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Films that calibrated.
    pub films: usize,
    /// Every layer int8, as without calibration, against fp32.
    pub plain: Cosines,
    /// Every layer int8 as calibrated, against fp32.
    pub calibrated: Cosines,
    /// What was written.
    pub written: Cosines,
    /// Most of the blocks' weights that may stay f16.
    pub fallback_budget: f64,
    /// Share of the blocks' weights that stay f16.
    pub fallback_share: f64,
    /// In the order of the network.
    pub layers: Vec<LayerReport>,
}

/// One linear layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerReport {
    /// Number of the block.
    pub block: usize,
    /// qkv, output, fc1, fc2.
    pub layer: &'static str,
    /// int8 or fp16.
    pub format: &'static str,
    /// K·N
    pub weights: usize,
    /// Exponent of the scales; null without scales.
    pub strength: Option<f64>,
    /// Whether the inputs' means are taken off.
    pub centred: bool,
    /// Whether the weights are clipped for the smallest error.
    pub clipped: bool,
    /// At the layer's output, int8 as without calibration, dB.
    pub sqnr_plain_db: f64,
    /// As calibrated, int8.
    pub sqnr_db: f64,
    /// Of the layer's output rows, mean, as calibrated, int8.
    pub cosine: f64,
    /// Of the CLS token at the end when this layer alone is int8, mean.
    pub cls_cosine_alone: f64,
}

impl Report {
    /// A table for a person.
    pub fn table(&self) -> String {
        let mut lines = vec![format!(
            "{:>5} {:6} {:>6} {:>8} {:>7} {:>7} {:>9} {:>9} {:>9} {:>12}",
            "block", "layer", "format", "strength", "centred", "clipped", "SQNR dB", "was", "1-cosine", "1-CLS cosine"
        )];
        for layer in &self.layers {
            let word = |yes: bool| if yes { "yes" } else { "-" };
            lines.push(format!(
                "{:5} {:6} {:>6} {:>8} {:>7} {:>7} {:9.2} {:9.2} {:9.1e} {:12.1e}",
                layer.block,
                layer.layer,
                layer.format,
                layer.strength.map_or_else(|| "-".to_owned(), |s| s.to_string()),
                word(layer.centred),
                word(layer.clipped),
                layer.sqnr_db,
                layer.sqnr_plain_db,
                1.0 - layer.cosine,
                1.0 - layer.cls_cosine_alone
            ));
        }
        for (name, c) in [("plain", self.plain), ("calibrated", self.calibrated), ("written", self.written)] {
            lines.push(format!(
                "{name:10} against fp32 on {} films: CLS cosine {:.5}, worst film {:.5}, patches {:.5}",
                self.films, c.cls_mean, c.cls_worst, c.patch_mean
            ));
        }
        lines.push(format!(
            "{:.1} % of the blocks' weights stay f16 (budget {:.1} %)",
            100.0 * self.fallback_share,
            100.0 * self.fallback_budget
        ));
        lines.join("\n")
    }
}
