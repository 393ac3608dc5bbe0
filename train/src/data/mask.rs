//! Masks of manifests: 0 background, 255 lung, 127 ignore.

use std::path::Path;

use rad_dino_edge::preprocess::Geometry;
use rad_dino_edge::scan::{self, Limits, Pixels};
use rad_dino_edge::{Error, ErrorKind, Result};

/// Not counted, neither as lung nor as background.
pub const IGNORE: u8 = 127;
/// Inside.
pub const INSIDE: u8 = 255;

/// A mask in the size of its film.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Pixels a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// 0, [`IGNORE`] or [`INSIDE`], row-major.
    pub values: Vec<u8>,
}

/// A mask as a network's grid sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Share of a cell's counted points that are inside, 0 to 255, [side, side].
    pub inside: Vec<u8>,
    /// Share of a cell's points that count, 0 to 255, [side, side].
    pub known: Vec<u8>,
}

impl Mask {
    /// Reads the mask of a film of `width`×`height` pixels.
    ///
    /// # Errors
    /// Whatever is wrong with the file; `Data` when it is in colour, of another size or holds another value.
    pub fn read(path: &Path, limits: &Limits, width: u32, height: u32) -> Result<Self> {
        let refuse = |what: String| {
            Error::new(ErrorKind::Data, format!("{}: {what}", path.display()))
                .hint("a mask is an 8-bit grey PNG of the film's size: 0 background, 255 inside, 127 ignore")
        };
        let scan = scan::read(path, limits)?;
        if (scan.width, scan.height) != (width, height) {
            return Err(refuse(format!("{}×{} pixels, its film has {width}×{height}", scan.width, scan.height)));
        }
        let Pixels::Gray8(values) = scan.pixels else { return Err(refuse("the mask is in colour".to_owned())) };
        match values.iter().find(|v| ![0, IGNORE, INSIDE].contains(v)) {
            Some(value) => Err(refuse(format!("the mask holds the value {value}"))),
            None => Ok(Mask { width, height, values }),
        }
    }

    /// The mask on `side`×`side` cells of the crop of `geometry` (of a film of this size). What lies beyond the film does
    /// not count.
    pub fn target(&self, geometry: &Geometry, side: usize) -> Target {
        let cells = side.saturating_mul(side);
        let mut target = Target { inside: Vec::with_capacity(cells), known: Vec::with_capacity(cells) };
        let points = geometry.crop_size.div_ceil(side.max(1)).max(2);
        let step = geometry.crop_size as f64 / (side * points).max(1) as f64;
        for cell in 0..cells {
            let (y, x) = (cell / side * points, cell % side * points);
            let (mut inside, mut known) = (0usize, 0usize);
            for (dy, dx) in (0..points).flat_map(|dy| (0..points).map(move |dx| (dy, dx))) {
                let (sx, sy) = geometry.to_scan(((x + dx) as f64 + 0.5) * step, ((y + dy) as f64 + 0.5) * step);
                match self.at(sx, sy) {
                    Some(INSIDE) => (inside, known) = (inside + 1, known + 1),
                    Some(0) => known += 1,
                    _ => {}
                }
            }
            target.inside.push((255 * inside).checked_div(known).unwrap_or(0) as u8);
            target.known.push((255 * known / (points * points)) as u8);
        }
        target
    }

    /// The value of the pixel under a point; None beyond the mask.
    fn at(&self, x: f64, y: f64) -> Option<u8> {
        let within = (0.0..f64::from(self.width)).contains(&x) && (0.0..f64::from(self.height)).contains(&y);
        within.then(|| self.values.get(y as usize * self.width as usize + x as usize).copied()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::preprocess::Preprocessing;

    use super::*;

    fn geometry(width: u32, height: u32) -> Geometry {
        let p = Preprocessing {
            shortest_edge: 24,
            crop_size: 24,
            rescale_factor: 1.0,
            image_mean: [0.0; 3],
            image_std: [1.0; 3],
        };
        Geometry::new(width, height, &p).unwrap()
    }

    #[test]
    fn cells_are_shares_of_the_centre_crop_without_what_is_ignored() {
        // The crop is columns 20 to 60 of 80×40: its first quarter is ignored, the second is inside.
        let values = (0..80 * 40).map(|i| match i % 80 {
            20..30 => IGNORE,
            30..40 => INSIDE,
            _ => 0,
        });
        let mask = Mask { width: 80, height: 40, values: values.collect() };
        let quarters = mask.target(&geometry(80, 40), 4);
        assert_eq!(quarters.known, [0u8, 255, 255, 255].repeat(4));
        assert_eq!(quarters.inside, [0u8, 255, 0, 0].repeat(4));
        let halves = mask.target(&geometry(80, 40), 2);
        assert_eq!((&halves.known[..2], &halves.inside[..2]), (&[127, 255][..], &[255, 0][..]));
        let whole = mask.target(&geometry(80, 40), 1);
        assert_eq!((whole.known[0], whole.inside[0]), (191, 85));
    }

    #[test]
    fn what_is_no_mask_of_the_film_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, values: &[u8]| {
            let path = dir.path().join(name);
            image::GrayImage::from_raw(2, 2, values.to_vec()).unwrap().save(&path).unwrap();
            path
        };
        let good = write("good.png", &[0, 255, 127, 0]);
        let limits = Limits::default();
        assert_eq!(Mask::read(&good, &limits, 2, 2).unwrap().values, [0, 255, 127, 0]);
        let error = Mask::read(&good, &limits, 2, 3).unwrap_err();
        assert!(error.message().contains("good.png") && error.message().contains("2×3"), "{error}");
        let error = Mask::read(&write("bad.png", &[0, 1, 0, 0]), &limits, 2, 2).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        assert!(error.message().contains("value 1"), "{error}");
    }
}
