//! Segmentation logits back to the scan's own size.

use std::path::Path;

use image::{ExtendedColorType, GrayImage};
use rayon::prelude::*;

use super::sample::bilinear;
use super::write;
use crate::preprocess::Geometry;
use crate::{Error, ErrorKind, Result};

/// Writes the mask that [`draw`] gives as an 8-bit grey PNG.
///
/// # Errors
/// Those of [`draw`]; `Io` naming `path`.
pub fn write(path: &Path, geometry: &Geometry, logits: &[f32], rows: usize, columns: usize) -> Result<()> {
    let mask = draw(geometry, logits, rows, columns)?;
    write::png(path, mask.as_raw(), mask.width(), mask.height(), ExtendedColorType::L8)
}

/// Stretches `logits` ([rows, columns], row-major) bilinearly over the crop and carries them to the scan's own size:
/// 255 where the logit is above 0 (probability above one half), 0 elsewhere and outside the crop.
///
/// # Errors
/// `Internal` when sizes disagree or a logit is NaN.
pub fn draw(geometry: &Geometry, logits: &[f32], rows: usize, columns: usize) -> Result<GrayImage> {
    if rows == 0 || columns == 0 || rows.checked_mul(columns) != Some(logits.len()) {
        let message = format!("a mask of {rows}×{columns} cells was given {} logits", logits.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    if logits.iter().any(|l| l.is_nan()) {
        return Err(Error::new(ErrorKind::Internal, "a mask holds a logit that is not a number"));
    }
    // Differences of infinities are not a number; these bounds keep every sign.
    let logits: Vec<f32> = logits.iter().map(|l| l.clamp(-1e30, 1e30)).collect();
    let size = geometry.crop_size as f64;
    let (width, height) = (geometry.scan_width, geometry.scan_height);
    let mut mask = GrayImage::new(width, height);
    mask.par_chunks_mut((width as usize).max(1)).enumerate().for_each(|(y, row)| {
        for (x, pixel) in row.iter_mut().enumerate() {
            let (crop_x, crop_y) = geometry.to_crop(x as f64 + 0.5, y as f64 + 0.5);
            if (0.0..size).contains(&crop_x) && (0.0..size).contains(&crop_y) {
                let (column, row) = (crop_x * columns as f64 / size, crop_y * rows as f64 / size);
                if bilinear(&logits, rows, columns, column, row) > 0.0 {
                    *pixel = 255;
                }
            }
        }
    });
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Preprocessing;

    fn geometry(width: u32, height: u32) -> Geometry {
        let p = Preprocessing {
            shortest_edge: 56,
            crop_size: 56,
            rescale_factor: 1.0,
            image_mean: [0.0; 3],
            image_std: [1.0; 3],
        };
        Geometry::new(width, height, &p).unwrap()
    }

    #[test]
    fn halves_meet_in_the_middle_and_nothing_is_outside() {
        let logits = [-1.0, 1.0, -1.0, 1.0];
        let mask = draw(&geometry(600, 300), &logits, 2, 2).unwrap();
        assert_eq!(mask.dimensions(), (600, 300));
        // The crop covers columns 150 to 450.
        for (x, y, pixel) in mask.enumerate_pixels() {
            // A pixel at a border may fall on either side.
            if ![149, 150, 299, 300, 449, 450].contains(&x) {
                assert_eq!(pixel.0[0], if (300..450).contains(&x) { 255 } else { 0 }, "{x} {y}");
            }
        }
    }

    #[test]
    fn infinite_logits_keep_their_sign() {
        let mask = draw(&geometry(20, 20), &[f32::NEG_INFINITY, f32::INFINITY], 1, 2).unwrap();
        assert_eq!(mask.get_pixel(2, 10).0[0], 0);
        assert_eq!(mask.get_pixel(18, 10).0[0], 255);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for (logits, rows, columns) in
            [(&[0.0; 3][..], 2, 2), (&[], 0, 0), (&[f32::NAN], 1, 1), (&[1.0], usize::MAX, 2)]
        {
            assert_eq!(draw(&geometry(20, 20), logits, rows, columns).unwrap_err().kind(), ErrorKind::Internal);
        }
    }

    #[test]
    fn file_is_a_png_of_the_scans_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lung.png");
        write(&path, &geometry(90, 60), &[1.0], 1, 1).unwrap();
        let back = crate::scan::read(&path, &crate::scan::Limits::default()).unwrap();
        assert_eq!((back.width, back.height), (90, 60));
        assert_eq!(back.pixels.samples().iter().filter(|&&v| v == 255).count(), 60 * 60);
    }
}
