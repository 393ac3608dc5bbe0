//! Where the crop lies in the scan.

use super::Preprocessing;
use crate::{Error, ErrorKind, Result};

/// So many crops cover any radiograph; a strip that needs more is none.
pub const MOST_WINDOWS: usize = 8;

/// How a scan was resized and cropped: enough to carry a heat map or a mask back.
///
/// Coordinates are continuous, with pixel i covering [i, i + 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Width of the scan in pixels.
    pub scan_width: u32,
    /// Height of the scan in pixels.
    pub scan_height: u32,
    /// Width after resizing; only the crop of it is ever computed.
    pub resized_width: usize,
    /// Height after resizing.
    pub resized_height: usize,
    /// Left edge of the crop in the resized scan; negative where the crop is padded.
    pub left: i64,
    /// Upper edge of the crop in the resized scan; negative where the crop is padded.
    pub top: i64,
    /// S: height and width of the crop.
    pub crop_size: usize,
}

impl Geometry {
    /// The geometry of a scan of this size.
    ///
    /// # Errors
    /// `Model` for senseless constants, `Malformed` for a scan without pixels.
    pub fn new(scan_width: u32, scan_height: u32, preprocessing: &Preprocessing) -> Result<Geometry> {
        preprocessing.validate()?;
        let Preprocessing { shortest_edge, crop_size, .. } = *preprocessing;
        let (short, long) = (scan_width.min(scan_height), scan_width.max(scan_height));
        if short == 0 {
            return Err(Error::new(ErrorKind::Malformed, "the scan has no pixels").hint("export the picture again"));
        }
        // transformers' get_resize_output_image_size: int(shortest_edge * long / short), where Python divides
        // integers as we divide these floats, whose product is exact below 2⁵³.
        let resized_long = (shortest_edge as f64 * f64::from(long) / f64::from(short)) as usize;
        let (resized_width, resized_height) =
            if scan_width <= scan_height { (shortest_edge, resized_long) } else { (resized_long, shortest_edge) };
        // transformers' center_crop; where it pads, it puts the odd pixel left and above, as this division does.
        let offset = |resized: usize| (resized as i64 - crop_size as i64).div_euclid(2);
        let (left, top) = (offset(resized_width), offset(resized_height));
        Ok(Geometry { scan_width, scan_height, resized_width, resized_height, left, top, crop_size })
    }

    /// Crops that together cover the resized scan: at both ends of a side that is longer than the crop and, where two do
    /// not reach, evenly between. Empty when the centre crop covers all, or when it would take more than
    /// [`MOST_WINDOWS`].
    pub fn windows(&self) -> Vec<Geometry> {
        let count = |resized: usize| resized.div_ceil(self.crop_size.max(1)).max(1);
        let (columns, rows) = (count(self.resized_width), count(self.resized_height));
        if !(2..=MOST_WINDOWS).contains(&columns.saturating_mul(rows)) {
            return Vec::new();
        }
        let offsets = |count: usize, resized: usize, centre: i64| -> Vec<i64> {
            if count < 2 {
                return vec![centre];
            }
            (0..count).map(|i| (i * (resized - self.crop_size) / (count - 1)) as i64).collect()
        };
        let left = offsets(columns, self.resized_width, self.left);
        let top = offsets(rows, self.resized_height, self.top);
        let rows = top.iter().flat_map(|&top| left.iter().map(move |&left| (left, top)));
        rows.map(|(left, top)| Geometry { left, top, ..*self }).collect()
    }

    /// From the crop ([0, S] inside) to the scan ([0, width], [0, height] inside).
    pub fn to_scan(&self, x: f64, y: f64) -> (f64, f64) {
        (
            (x + self.left as f64) * f64::from(self.scan_width) / self.resized_width as f64,
            (y + self.top as f64) * f64::from(self.scan_height) / self.resized_height as f64,
        )
    }

    /// From the scan to the crop; outside [0, S] the model did not look.
    pub fn to_crop(&self, x: f64, y: f64) -> (f64, f64) {
        (
            x * self.resized_width as f64 / f64::from(self.scan_width) - self.left as f64,
            y * self.resized_height as f64 / f64::from(self.scan_height) - self.top as f64,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn geometry(width: u32, height: u32, shortest_edge: usize, crop_size: usize) -> Geometry {
        let p =
            Preprocessing { shortest_edge, crop_size, rescale_factor: 1.0, image_mean: [0.0; 3], image_std: [1.0; 3] };
        Geometry::new(width, height, &p).unwrap()
    }

    #[test]
    fn sizes_and_offsets_are_those_of_transformers() {
        // (width, height, shortest_edge, crop) → (resized width, resized height, left, top), from transformers 5.24
        for ((w, h, edge, crop), expected) in [
            ((2765, 2505, 224, 224), (247, 224, 11, 0)),
            ((37, 53, 224, 224), (224, 320, 0, 48)),
            ((100, 100, 256, 224), (256, 256, 16, 16)),
            ((100, 301, 50, 57), (50, 150, -4, 46)),
            ((1, 20_000, 518, 518), (518, 10_360_000, 0, 5_179_741)),
        ] {
            let g = geometry(w, h, edge, crop);
            assert_eq!((g.resized_width, g.resized_height, g.left, g.top), expected, "{w}×{h}");
        }
    }

    #[test]
    fn windows_cover_the_scan_and_nothing_else() {
        let lefts = |g: Geometry| g.windows().iter().map(|w| (w.left, w.top)).collect::<Vec<_>>();
        assert_eq!(lefts(geometry(2765, 2505, 224, 224)), [(0, 0), (23, 0)]);
        assert_eq!(lefts(geometry(100, 250, 50, 50)), [(0, 0), (0, 37), (0, 75)]);
        assert_eq!(lefts(geometry(100, 100, 256, 224)), [(0, 0), (32, 0), (0, 32), (32, 32)]);
        assert!(lefts(geometry(300, 300, 224, 224)).is_empty());
        assert!(lefts(geometry(300, 300, 40, 56)).is_empty());
        assert!(lefts(geometry(1, 20_000, 518, 518)).is_empty());
    }

    proptest! {
        #[test]
        fn there_and_back(w in 1u32..5000, h in 1u32..5000, edge in 1usize..600, crop in 1usize..600,
                          x in -10.0..700.0, y in -10.0..700.0) {
            let g = geometry(w, h, edge, crop);
            let (sx, sy) = g.to_scan(x, y);
            let (cx, cy) = g.to_crop(sx, sy);
            prop_assert!((cx - x).abs() < 1e-6 && (cy - y).abs() < 1e-6);
        }

        #[test]
        fn the_middle_of_the_crop_is_the_middle_of_the_scan(w in 1u32..5000, h in 1u32..5000, edge in 1usize..600,
                                                             crop in 1usize..600) {
            let g = geometry(w, h, edge, crop);
            let (x, y) = g.to_crop(f64::from(w) / 2.0, f64::from(h) / 2.0);
            let middle = crop as f64 / 2.0;
            prop_assert!((x - middle).abs() <= 0.5 && (y - middle).abs() <= 0.5);
        }
    }
}
