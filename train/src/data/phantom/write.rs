//! A film as files and a row of a manifest.

use std::path::Path;

use rad_dino_edge::Result;

use super::Phantom;
use super::findings::code;
use crate::data::{Row, Split};
use crate::files::write_grey;

/// Painted over one another in this order, so that small things stay visible.
const PAINT_ORDER: [&str; 6] =
    ["cardiomegaly", "pleural_effusion", "pneumothorax", "consolidation", "nodule", "support_devices"];

impl Phantom {
    /// Lungs 255, 127 where a device lies over them, 0 elsewhere.
    pub fn lung_mask(&self) -> Vec<u8> {
        let r = &self.rendered;
        let device = r.findings.iter().find(|(label, _)| *label == "support_devices").map(|(_, mask)| mask);
        let lung = |i: usize| r.lungs[0][i] || r.lungs[1][i];
        let value = |i: usize| match (lung(i), device.is_some_and(|d| d[i])) {
            (false, _) => 0,
            (true, false) => 255,
            (true, true) => 127,
        };
        (0..self.side * self.side).map(value).collect()
    }

    /// 1 right lung, 2 left lung, 3 heart and mediastinum, 4 airways, 0 elsewhere.
    pub fn anatomy_mask(&self) -> Vec<u8> {
        let r = &self.rendered;
        let value = |i: usize| match (r.airway[i], r.mediastinum[i], r.lungs[0][i], r.lungs[1][i]) {
            (true, ..) => 4,
            (_, true, ..) => 3,
            (_, _, true, _) => 1,
            (_, _, _, true) => 2,
            _ => 0,
        };
        (0..self.side * self.side).map(value).collect()
    }

    /// The codes of the findings, see [`code`]; smaller things are painted over larger ones.
    pub fn pathology_mask(&self) -> Vec<u8> {
        let mut out = vec![0; self.side * self.side];
        for label in PAINT_ORDER {
            let Some((_, mask)) = self.rendered.findings.iter().find(|(l, _)| *l == label) else { continue };
            out.iter_mut().zip(mask).filter(|(_, m)| **m).for_each(|(o, _)| *o = code(label));
        }
        out
    }

    /// Writes picture and masks below `folder` and returns the film's row.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path, index: usize) -> Result<Row> {
        let name = format!("phantom_{index:06}");
        let file = |kind: &str| format!("{kind}/{name}.png");
        let patient_id = format!("phantom-{index:06}");
        write_grey(&folder.join(file("images")), &self.rendered.pixels, self.side)?;
        write_grey(&folder.join(file("masks")), &self.lung_mask(), self.side)?;
        write_grey(&folder.join(file("masks_anatomy")), &self.anatomy_mask(), self.side)?;
        write_grey(&folder.join(file("masks_pathology")), &self.pathology_mask(), self.side)?;
        Ok(Row {
            file: file("images"),
            source: "phantom".to_owned(),
            source_id: name.clone(),
            split: Some(Split::of_patient(&patient_id)),
            patient_id,
            view: Some(self.anatomy.view),
            sex: Some(self.anatomy.sex),
            age: Some(self.anatomy.age),
            findings: Some(self.findings.labels()),
            report: self.report.clone(),
            mask: file("masks"),
            licence: "CC0-1.0".to_owned(),
            mask_anatomy: file("masks_anatomy"),
            mask_pathology: file("masks_pathology"),
            report_kind: "radiology_report".to_owned(),
            ..Row::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::data::phantom::film;

    #[test]
    fn files_and_row_belong_together() {
        let dir = tempfile::tempdir().unwrap();
        let sick =
            (0..80).map(|i| film(4, i, 96)).find(|f| f.findings.devices.len() == 1 && f.findings.effusion.is_some());
        let film = sick.unwrap();
        let row = film.write(dir.path(), 7).unwrap();
        for path in [&row.file, &row.mask, &row.mask_anatomy, &row.mask_pathology] {
            let picture = image::open(dir.path().join(path)).unwrap().into_luma8();
            assert_eq!(picture.dimensions(), (96, 96));
        }
        let values = |mask: Vec<u8>| mask.into_iter().collect::<std::collections::BTreeSet<_>>();
        assert!(values(film.lung_mask()).is_subset(&[0, 127, 255].into()));
        assert_eq!(values(film.anatomy_mask()), [0, 1, 2, 3, 4].into());
        assert!(values(film.pathology_mask()).is_superset(&[0, 3, 7].into()));
        assert_eq!(row.findings, Some(film.findings.labels()));
    }
}
