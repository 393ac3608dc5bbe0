//! Resize and centre crop, still in 8 bits.

use super::{Geometry, Preprocessing, Window, resize};
use crate::scan::{Pixels, Scan};
use crate::{Error, ErrorKind, Result};

/// Resizes the scan and cuts its centre: [S, S] grey or [S, S, 3] colour, and where that lies in the scan.
/// Where the resized scan is smaller than the crop, black surrounds it.
///
/// # Errors
/// `Model` for senseless constants; `Malformed` or `Internal` for a scan without pixels or of contradictory size.
pub fn resize_and_crop(scan: &Scan, preprocessing: &Preprocessing) -> Result<(Pixels, Geometry)> {
    let geometry = Geometry::new(scan.width, scan.height, preprocessing)?;
    Ok((crop_at(scan, &geometry)?, geometry))
}

/// Resizes the scan and cuts what `geometry`, made for this scan, says.
///
/// # Errors
/// `Internal` for a scan of contradictory size or another scan's geometry.
pub fn crop_at(scan: &Scan, geometry: &Geometry) -> Result<Pixels> {
    let (width, height) = (scan.width as usize, scan.height as usize);
    let samples = width.checked_mul(height).and_then(|n| n.checked_mul(scan.pixels.channels()));
    if samples != Some(scan.pixels.samples().len()) {
        let message = format!("a scan of {width}×{height} pixels holds {} samples", scan.pixels.samples().len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    if (geometry.scan_width, geometry.scan_height) != (scan.width, scan.height) {
        return Err(Error::new(ErrorKind::Internal, "a crop was laid out for a scan of another size"));
    }
    let (left, window_width, pad_left) = inside(geometry.left, geometry.resized_width, geometry.crop_size);
    let (top, window_height, pad_top) = inside(geometry.top, geometry.resized_height, geometry.crop_size);
    let window = Window { left, top, width: window_width, height: window_height };
    let pixels = resize(&scan.pixels, (width, height), (geometry.resized_width, geometry.resized_height), window);
    let size = geometry.crop_size;
    if (window_width, window_height) == (size, size) {
        return Ok(pixels);
    }
    let pad = |samples: Vec<u8>, channels: usize| {
        let mut padded = vec![0; size * size * channels];
        let rows = padded.chunks_exact_mut(size * channels).skip(pad_top);
        for (to, from) in rows.zip(samples.chunks_exact(window_width * channels)) {
            to[pad_left * channels..][..from.len()].copy_from_slice(from);
        }
        padded
    };
    let padded = match pixels {
        Pixels::Gray8(samples) => Pixels::Gray8(pad(samples, 1)),
        Pixels::Rgb8(samples) => Pixels::Rgb8(pad(samples, 3)),
    };
    Ok(padded)
}

/// Along one axis: where the window starts in the resized scan, how long it is, and how much padding is before it.
fn inside(offset: i64, resized: usize, crop: usize) -> (usize, usize, usize) {
    let start = usize::try_from(offset).unwrap_or(0);
    let before = usize::try_from(-offset).unwrap_or(0);
    (start, resized.min(crop), before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Format;
    use proptest::prelude::*;

    fn scan(width: u32, height: u32, pixels: Pixels) -> Scan {
        Scan { width, height, pixels, format: Format::Png, sha256: String::new(), tags: Default::default() }
    }

    fn constants(shortest_edge: usize, crop_size: usize) -> Preprocessing {
        Preprocessing { shortest_edge, crop_size, rescale_factor: 1.0, image_mean: [0.0; 3], image_std: [1.0; 3] }
    }

    #[test]
    fn padding_is_black_and_odd_pixels_go_left_and_above() {
        let (crop, _) = resize_and_crop(&scan(2, 2, Pixels::Gray8(vec![9; 4])), &constants(2, 5)).unwrap();
        let expected = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 9, 9, 0], [0, 0, 9, 9, 0], [0, 0, 0, 0, 0]];
        assert_eq!(crop.samples(), expected.as_flattened());
    }

    #[test]
    fn extreme_aspect_ratios_cost_only_the_crop() {
        let line: Vec<u8> = (0..20_000).map(|i| (i / 79) as u8).collect();
        for (w, h) in [(1, 20_000), (20_000, 1)] {
            let (crop, geometry) =
                resize_and_crop(&scan(w, h, Pixels::Gray8(line.clone())), &constants(518, 518)).unwrap();
            assert_eq!(crop.samples().len(), 518 * 518);
            assert_eq!(geometry.resized_width.max(geometry.resized_height), 10_360_000);
            // The crop is one of 20,000 pixels, enlarged: the one in the middle.
            assert!(crop.samples().iter().all(|v| (125..=128).contains(v)));
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same() {
        let samples = (0..300 * 200 * 3u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let noise = scan(300, 200, Pixels::Rgb8(samples));
        let crop = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| resize_and_crop(&noise, &constants(150, 140)).unwrap().0)
        };
        assert_eq!(crop(1), crop(5));
    }

    #[test]
    fn contradictory_scans_are_refused() {
        let wrong = scan(3, 3, Pixels::Rgb8(vec![0; 9]));
        assert_eq!(resize_and_crop(&wrong, &constants(4, 4)).unwrap_err().kind(), ErrorKind::Internal);
        let empty = scan(0, 3, Pixels::Gray8(vec![]));
        assert_eq!(resize_and_crop(&empty, &constants(4, 4)).unwrap_err().kind(), ErrorKind::Malformed);
    }

    proptest! {
        #[test]
        fn any_size_gives_the_crop(w in 1u32..400, h in 1u32..400, edge in 1usize..100, size in 1usize..100) {
            let pixels = Pixels::Gray8(vec![200; (w * h) as usize]);
            let (crop, geometry) = resize_and_crop(&scan(w, h, pixels), &constants(edge, size)).unwrap();
            prop_assert_eq!(crop.samples().len(), size * size);
            let shown = geometry.resized_width.min(size) * geometry.resized_height.min(size);
            prop_assert_eq!(crop.samples().iter().filter(|&&v| v == 200).count(), shown);
        }
    }
}
