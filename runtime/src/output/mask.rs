//! Segmentation logits back to the scan's own size.

use std::path::Path;

use image::{ExtendedColorType, GrayImage};
use rayon::prelude::*;

use super::sample::{Axis, Stretched};
use super::write;
use crate::preprocess::Geometry;
use crate::{Error, ErrorKind, Result};

/// One look at a scan: where, and the logits [rows, columns] it gave.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Where the crop lies.
    pub geometry: Geometry,
    /// Row-major.
    pub logits: &'a [f32],
}

/// Writes a mask as an 8-bit grey PNG.
///
/// # Errors
/// `Io` naming `path`.
pub fn write(path: &Path, mask: &GrayImage) -> Result<()> {
    write::png(path, mask.as_raw(), mask.width(), mask.height(), ExtendedColorType::L8)
}

/// Share of a mask that is marked.
pub fn share(mask: &GrayImage) -> f64 {
    mask.as_raw().iter().filter(|&&v| v > 0).count() as f64 / (mask.as_raw().len().max(1)) as f64
}

/// Whether `label` can be part of a file's name: letters, digits, `_` and `-`, so that no model file writes elsewhere.
pub fn is_file_name(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= 100
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Share of the scan's area that [`draw`] marks, counted on the crop's S×S pixels.
///
/// # Errors
/// Those of [`draw`].
pub fn area_fraction(geometry: &Geometry, logits: &[f32], rows: usize, columns: usize) -> Result<f64> {
    let logits = checked(logits, rows, columns)?;
    let (size, (width, height)) = (geometry.crop_size, (geometry.resized_width, geometry.resized_height));
    // Where the crop is padded, its border is no part of the scan.
    let axis = |first: i64, side: usize, cells: usize| {
        let inside = move |at: usize| (0..side as i64).contains(&(at as i64 + first));
        Axis::new(0..size, cells, move |at| inside(at).then(|| (at as f64 + 0.5) * cells as f64 / size as f64))
    };
    let (across, down) = (axis(geometry.left, width, columns), axis(geometry.top, height, rows));
    let map = Stretched::new(&logits, columns, &across, down);
    let marked = (0..size).filter_map(|y| Some(map.row(y)?.1.filter(|value| *value > 0.0).count()));
    Ok(marked.sum::<usize>() as f64 / (width as f64 * height as f64))
}

/// Stretches each look's logits ([rows, columns]) bilinearly over its crop and carries them to the scan's own size: 255
/// where the mean of the looks that saw a pixel is above 0 (probability above one half), 0 elsewhere and where none did.
/// All looks are at one scan.
///
/// # Errors
/// `Internal` without looks, when sizes disagree or a logit is NaN.
pub fn draw(looks: &[Look<'_>], rows: usize, columns: usize) -> Result<GrayImage> {
    let Some(Look { geometry: first, .. }) = looks.first() else {
        return Err(Error::new(ErrorKind::Internal, "a mask was wanted of nothing"));
    };
    let maps = looks.iter().map(|look| stretched(look, rows, columns)).collect::<Result<Vec<_>>>()?;
    let mut mask = GrayImage::new(first.scan_width, first.scan_height);
    let width = (first.scan_width as usize).max(1);
    mask.par_chunks_mut(width).enumerate().for_each_init(
        || vec![0.0; width],
        |sums, (y, row)| {
            sums.fill(0.0);
            for (seen, values) in maps.iter().filter_map(|map| map.row(y)) {
                sums[seen].iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
            }
            // the sign of the sum is that of the mean
            row.iter_mut().zip(&*sums).for_each(|(pixel, sum)| *pixel = if *sum > 0.0 { 255 } else { 0 });
        },
    );
    Ok(mask)
}

/// A look's logits over the whole scan.
fn stretched(look: &Look<'_>, rows: usize, columns: usize) -> Result<Stretched> {
    let (logits, geometry) = (checked(look.logits, rows, columns)?, look.geometry);
    let size = geometry.crop_size as f64;
    let cell = |crop: f64, cells: usize| (0.0..size).contains(&crop).then(|| crop * cells as f64 / size);
    let column = |x: usize| cell(geometry.to_crop(x as f64 + 0.5, 0.0).0, columns);
    let row = |y: usize| cell(geometry.to_crop(0.0, y as f64 + 0.5).1, rows);
    let across = Axis::new(0..geometry.scan_width as usize, columns, column);
    Ok(Stretched::new(&logits, columns, &across, Axis::new(0..geometry.scan_height as usize, rows, row)))
}

/// The logits of [rows, columns] cells, finite.
fn checked(logits: &[f32], rows: usize, columns: usize) -> Result<Vec<f32>> {
    if rows == 0 || columns == 0 || rows.checked_mul(columns) != Some(logits.len()) {
        let message = format!("a mask of {rows}×{columns} cells was given {} logits", logits.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    if logits.iter().any(|l| l.is_nan()) {
        return Err(Error::new(ErrorKind::Internal, "a mask holds a logit that is not a number"));
    }
    // Differences of infinities are not a number; these bounds keep every sign.
    Ok(logits.iter().map(|l| l.clamp(-1e30, 1e30)).collect())
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
        let mask = draw(&[Look { geometry: geometry(600, 300), logits: &logits }], 2, 2).unwrap();
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
    fn windows_show_what_the_centre_does_not() {
        let centre = geometry(600, 300);
        assert_eq!(share(&draw(&[Look { geometry: centre, logits: &[1.0] }], 1, 1).unwrap()), 0.5);
        // the left window says no, the right one yes, the centre leans to yes
        let [left, right] = centre.windows()[..] else { panic!("{:?}", centre.windows()) };
        let look = |geometry, logits| Look { geometry, logits };
        let mask = draw(&[look(centre, &[0.5]), look(left, &[-1.0]), look(right, &[2.0])], 1, 1).unwrap();
        for (x, _, pixel) in mask.enumerate_pixels() {
            if ![299, 300].contains(&x) {
                assert_eq!(pixel.0[0] > 0, x > 300, "{x}");
            }
        }
    }

    #[test]
    fn the_area_is_that_of_the_drawing() {
        let logits = [-1.0, 1.0, 2.0, 1.0, 0.5, -3.0, -0.25, 4.0, 1.5];
        for (width, height) in [(600, 300), (300, 601), (56, 56), (90, 1200), (31, 20)] {
            let geometry = geometry(width, height);
            let mask = draw(&[Look { geometry, logits: &logits }], 3, 3).unwrap();
            let drawn = mask.as_raw().iter().filter(|&&v| v == 255).count() as f64 / f64::from(width * height);
            let area = area_fraction(&geometry, &logits, 3, 3).unwrap();
            assert!((drawn - area).abs() < 0.03, "{width}×{height}: {drawn} and {area}");
        }
        // A crop that is larger than the resized scan is padded, and the padding is no area.
        let p = Preprocessing {
            shortest_edge: 40,
            crop_size: 56,
            rescale_factor: 1.0,
            image_mean: [0.0; 3],
            image_std: [1.0; 3],
        };
        let padded = Geometry::new(300, 300, &p).unwrap();
        assert_eq!(area_fraction(&padded, &[1.0], 1, 1).unwrap(), 1.0);
        assert_eq!(
            draw(&[Look { geometry: padded, logits: &[1.0] }], 1, 1)
                .unwrap()
                .as_raw()
                .iter()
                .filter(|&&v| v == 255)
                .count(),
            90_000
        );
    }

    #[test]
    fn labels_stay_in_their_folder() {
        assert!(is_file_name("right_lung-2"));
        for label in ["", "..", "a/b", "a.b", "ä", "a\\b", &"x".repeat(101)] {
            assert!(!is_file_name(label), "{label}");
        }
    }

    #[test]
    fn infinite_logits_keep_their_sign() {
        let mask =
            draw(&[Look { geometry: geometry(20, 20), logits: &[f32::NEG_INFINITY, f32::INFINITY] }], 1, 2).unwrap();
        assert_eq!(mask.get_pixel(2, 10).0[0], 0);
        assert_eq!(mask.get_pixel(18, 10).0[0], 255);
    }

    #[test]
    fn wrong_shapes_are_refused() {
        for (logits, rows, columns) in
            [(&[0.0; 3][..], 2, 2), (&[], 0, 0), (&[f32::NAN], 1, 1), (&[1.0], usize::MAX, 2)]
        {
            assert_eq!(
                draw(&[Look { geometry: geometry(20, 20), logits }], rows, columns).unwrap_err().kind(),
                ErrorKind::Internal
            );
        }
    }

    #[test]
    fn file_is_a_png_of_the_scans_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lung.png");
        write(&path, &draw(&[Look { geometry: geometry(90, 60), logits: &[1.0] }], 1, 1).unwrap()).unwrap();
        let back = crate::scan::read(&path, &crate::scan::Limits::default()).unwrap();
        assert_eq!((back.width, back.height), (90, 60));
        assert_eq!(back.pixels.samples().iter().filter(|&&v| v == 255).count(), 60 * 60);
    }
}
