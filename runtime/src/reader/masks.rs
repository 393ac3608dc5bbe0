//! Masks and how much they mark.

use image::GrayImage;

use super::Reader;
use crate::engine::Outputs;
use crate::error::Result;
use crate::model::manifest::Heads;
use crate::output::json::Region;
use crate::output::mask;
use crate::preprocess::{Geometry, preprocess_at};
use crate::scan::Scan;

type Masks = Vec<(String, GrayImage)>;

impl Reader {
    /// The regions the model marks, none without a head; drawn on the whole scan where `drawn`.
    pub(super) fn regions(
        &self,
        scan: &Scan,
        geometry: &Geometry,
        outputs: &Outputs,
        drawn: bool,
    ) -> Result<(Masks, Option<Vec<Region>>)> {
        let labels = &self.manifest.heads.segmentation;
        if labels.is_empty() {
            return Ok((vec![], None));
        }
        if !drawn {
            let regions = labels.iter().zip(channels(outputs)).map(|(label, (side, logits))| {
                let area_fraction = mask::area_fraction(geometry, logits, side, side)?;
                Ok(Region { label: label.clone(), area_fraction })
            });
            return Ok((vec![], Some(regions.collect::<Result<_>>()?)));
        }
        let masks = self.masks(scan, geometry, outputs)?;
        let region =
            |(label, mask): &(String, GrayImage)| Region { label: label.clone(), area_fraction: mask::share(mask) };
        let regions = masks.iter().map(region).collect();
        Ok((masks, Some(regions)))
    }

    /// Looks at the windows that the centre crop leaves out too.
    fn masks(&self, scan: &Scan, geometry: &Geometry, outputs: &Outputs) -> Result<Masks> {
        let side = self.engine.shape().image_size;
        let mut pixels = vec![0.0; 3 * side * side];
        let mut further = Vec::new();
        for window in geometry.windows() {
            preprocess_at(scan, &self.manifest.preprocessing, &window, &mut pixels)?;
            further.push((window, self.engine.run(&pixels, 1)?));
        }
        let mut masks = Vec::with_capacity(self.manifest.heads.segmentation.len());
        for (channel, label) in self.manifest.heads.segmentation.iter().enumerate() {
            let further = further.iter().map(|(window, outputs)| (window, outputs));
            let looks = std::iter::once((geometry, outputs)).chain(further).filter_map(|(geometry, outputs)| {
                let (cells, logits) = channels(outputs).nth(channel)?;
                Some((cells, mask::Look { geometry: *geometry, logits }))
            });
            let (cells, looks): (Vec<usize>, Vec<_>) = looks.unzip();
            let cells = cells.first().copied().unwrap_or(0);
            masks.push((label.clone(), mask::draw(&looks, cells, cells)?));
        }
        Ok(masks)
    }
}

/// The logits [side, side] of each channel of the first image.
fn channels(outputs: &Outputs) -> impl Iterator<Item = (usize, &[f32])> {
    let output = outputs.get(Heads::output_name("segmentation"));
    let side = output.and_then(|(shape, _)| shape.last()).copied().unwrap_or(0);
    let values = output.map_or(&[][..], |(_, values)| values);
    values.chunks_exact((side * side).max(1)).map(move |channel| (side, channel))
}
