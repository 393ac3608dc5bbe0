//! A map of patch values over the scan, at the scan's own aspect.

use std::path::Path;
use std::sync::LazyLock;

use image::{ExtendedColorType, RgbImage};

use super::sample::{Axis, Stretched};
use super::write;
use crate::preprocess::{Geometry, Window, resize};
use crate::scan::{Pixels, Scan};
use crate::{Error, ErrorKind, Result};

/// Long side of the picture, at most, in pixels.
const LONG_SIDE: u32 = 1024;
/// Opacity of the highest value.
const OPACITY: f64 = 0.65;
/// Brightness of what the model did not see.
const DIMMED: f64 = 0.4;
/// Share of the values beyond each end of the colour scale.
const TAIL: f64 = 0.02;
/// Steps of the colour scale.
const STEPS: usize = 1 << 12;
/// Fixed-point bits of a [`Tint`].
const BITS: u32 = 16;

/// Writes a heat map as PNG.
///
/// # Errors
/// `Io` naming `path`.
pub fn write(path: &Path, picture: &RgbImage) -> Result<()> {
    write::png(path, picture.as_raw(), picture.width(), picture.height(), ExtendedColorType::Rgb8)
}

/// Draws `values` ([grid, grid], row-major, one a patch) over `scan`, at most 1024 pixels a side.
///
/// Colour and opacity rise with the value, from the 2nd to the 98th percentile; a constant map leaves the scan as it
/// is. What lies outside the crop is dimmed.
///
/// # Errors
/// `Model` when a value is not finite, `Internal` when sizes disagree.
pub fn draw(scan: &Scan, geometry: &Geometry, values: &[f32], grid: usize) -> Result<RgbImage> {
    let map = normalize(values)?;
    let size = (scan.width as usize, scan.height as usize);
    let consistent = (geometry.scan_width, geometry.scan_height) == (scan.width, scan.height)
        && scan.pixels.samples().len() == size.0 * size.1 * scan.pixels.channels()
        && grid > 0
        && Some(values.len()) == grid.checked_mul(grid);
    if !consistent {
        let message = format!("a heat map of {} values, {grid} a side, does not fit its scan", values.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    let (width, height) = fit(scan.width, scan.height);
    let window = Window { left: 0, top: 0, width: width as usize, height: height as usize };
    let base = resize(&scan.pixels, size, (window.width, window.height), window);
    let mut picture = RgbImage::new(width, height);
    let copy = |(pixel, grey): (&mut image::Rgb<u8>, [u8; 3])| pixel.0 = grey;
    match &base {
        Pixels::Gray8(samples) => picture.pixels_mut().zip(samples.iter().map(|&g| [g; 3])).for_each(copy),
        Pixels::Rgb8(samples) => picture.pixels_mut().zip(samples.as_chunks().0.iter().copied()).for_each(copy),
    }
    let map = stretched(&map, geometry, grid, (width, height));
    let dimmed: [u8; 256] = std::array::from_fn(|grey| (grey as f64 * DIMMED).round() as u8);
    let dim = |samples: &mut [u8]| samples.iter_mut().for_each(|s| *s = dimmed[usize::from(*s)]);
    for (y, row) in picture.chunks_exact_mut(3 * window.width).enumerate() {
        let Some((seen, values)) = map.row(y) else {
            dim(row);
            continue;
        };
        dim(&mut row[..3 * seen.start]);
        dim(&mut row[3 * seen.end..]);
        let pixels = row[3 * seen.start..3 * seen.end].as_chunks_mut::<3>().0;
        for (pixel, value) in pixels.iter_mut().zip(values) {
            TINTS[(value * STEPS as f64 + 0.5) as usize].lay_over(pixel);
        }
    }
    Ok(picture)
}

/// `map` over a picture of this size.
fn stretched(map: &[f32], geometry: &Geometry, grid: usize, (width, height): (u32, u32)) -> Stretched {
    let size = geometry.crop_size as f64;
    let per_patch = grid as f64 / size;
    let cells = |crop: f64| (0.0..size).contains(&crop).then_some(crop * per_patch);
    let scan = |pixel: usize, of: u32, to: u32| (pixel as f64 + 0.5) * f64::from(of) / f64::from(to);
    let column = |x| cells(geometry.to_crop(scan(x, geometry.scan_width, width), 0.0).0);
    let row = |y| cells(geometry.to_crop(0.0, scan(y, geometry.scan_height, height)).1);
    let across = Axis::new(0..width as usize, grid, column);
    Stretched::new(map, grid, &across, Axis::new(0..height as usize, grid, row))
}

/// What one step of the colour scale makes of a grey level, in [`BITS`] bits of fixed point.
#[derive(Clone, Copy, Debug)]
struct Tint {
    /// Share of the grey level that stays.
    keep: u32,
    /// The colour's share, and one half.
    add: [u32; 3],
}

static TINTS: LazyLock<Vec<Tint>> = LazyLock::new(|| (0..=STEPS).map(|i| Tint::new(i as f64 / STEPS as f64)).collect());

impl Tint {
    fn new(value: f64) -> Tint {
        let one = f64::from(1 << BITS);
        let (color, opacity) = (inferno(value), OPACITY * value);
        let add = color.map(|c| (255.0 * c * opacity * one + 0.5 * one).round() as u32);
        Tint { keep: ((1.0 - opacity) * one).round() as u32, add }
    }

    fn lay_over(&self, pixel: &mut [u8; 3]) {
        for (sample, add) in pixel.iter_mut().zip(self.add) {
            *sample = ((u32::from(*sample) * self.keep + add) >> BITS) as u8;
        }
    }
}

/// The picture's size: the scan's aspect, never enlarged.
fn fit(width: u32, height: u32) -> (u32, u32) {
    let scale = f64::from(LONG_SIDE) / f64::from(width.max(height).max(LONG_SIDE));
    let side = |s: u32| ((f64::from(s) * scale).round() as u32).max(1);
    (side(width), side(height))
}

/// To 0..1 between two percentiles; where these coincide, between minimum and maximum; a constant map to 0.
fn normalize(values: &[f32]) -> Result<Vec<f32>> {
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Error::not_finite("its heat map"));
    }
    if values.is_empty() {
        return Err(Error::new(ErrorKind::Internal, "a heat map is empty"));
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len() - 1;
    let tail = (last as f64 * TAIL).round() as usize;
    let (mut low, mut high) = (f64::from(sorted[tail]), f64::from(sorted[last - tail]));
    if low >= high {
        (low, high) = (f64::from(sorted[0]), f64::from(sorted[last]));
    }
    if low >= high {
        return Ok(vec![0.0; values.len()]);
    }
    Ok(values.iter().map(|&v| ((f64::from(v) - low) / (high - low)).clamp(0.0, 1.0) as f32).collect())
}

/// The inferno colour scale, perceptually uniform, as a polynomial of degree 6 fitted to it; `t` in 0..1, result too.
fn inferno(t: f64) -> [f64; 3] {
    const TERMS: [[f64; 3]; 7] = [
        [0.000_218_940_4, 0.001_651_004_6, -0.019_480_898_4],
        [0.106_513_419_5, 0.563_956_436_8, 3.932_712_388_9],
        [11.602_493_082_5, -3.972_853_965_7, -15.942_394_106_3],
        [-41.703_996_131_4, 17.436_398_882_1, 44.354_145_198_7],
        [77.162_935_699_4, -33.402_358_942_1, -81.807_309_257_4],
        [-71.319_428_245_0, 32.626_064_264_0, 73.209_519_858_0],
        [25.131_126_224_8, -12.242_668_952_4, -23.070_325_002_9],
    ];
    let at = |c: usize| TERMS.iter().rev().fold(0.0, |sum, term| sum * t + term[c]).clamp(0.0, 1.0);
    [at(0), at(1), at(2)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preprocess::Preprocessing;
    use crate::scan::Format;

    fn scan(width: u32, height: u32) -> (Scan, Geometry) {
        let pixels = Pixels::Gray8(vec![100; (width * height) as usize]);
        let p = Preprocessing {
            shortest_edge: 64,
            crop_size: 64,
            rescale_factor: 1.0,
            image_mean: [0.0; 3],
            image_std: [1.0; 3],
        };
        let geometry = Geometry::new(width, height, &p).unwrap();
        (Scan { width, height, pixels, format: Format::Png, sha256: String::new(), tags: Default::default() }, geometry)
    }

    #[test]
    fn hot_patch_lies_where_it_belongs_and_the_rest_is_dimmed() {
        let (scan, geometry) = scan(300, 200);
        let mut values = [0.0; 16];
        values[4 + 2] = 5.0; // row 1, column 2
        let picture = draw(&scan, &geometry, &values, 4).unwrap();
        assert_eq!(picture.dimensions(), (300, 200));
        // The crop is the middle 200×200; a patch is 50 pixels.
        let hot = picture.get_pixel(50 + 125, 75).0;
        assert!(hot[0] > 180, "{hot:?}");
        assert_eq!(picture.get_pixel(50 + 25, 175).0, [100; 3]);
        assert_eq!(picture.get_pixel(10, 75).0, [40; 3]);
        assert_eq!(picture.get_pixel(290, 75).0, [40; 3]);
    }

    #[test]
    fn constant_map_leaves_the_scan() {
        let (scan, geometry) = scan(70, 70);
        let picture = draw(&scan, &geometry, &[3.5; 16], 4).unwrap();
        assert!(picture.pixels().all(|p| p.0 == [100; 3]));
    }

    #[test]
    fn size_is_limited_and_aspect_kept() {
        assert_eq!(fit(2765, 2505), (1024, 928));
        assert_eq!(fit(500, 400), (500, 400));
        assert_eq!(fit(1, 20_000), (1, 1024));
    }

    #[test]
    fn outliers_do_not_flatten_the_rest() {
        let mut values: Vec<f32> = (0..100).map(|i| i as f32).collect();
        values[99] = 1e6;
        let map = normalize(&values).unwrap();
        assert!((map[50] - 0.5).abs() < 0.02);
        assert_eq!((map[0], map[99]), (0.0, 1.0));
        let mut single = vec![0.0; 100];
        single[7] = 1.0;
        assert_eq!(normalize(&single).unwrap()[7], 1.0);
    }

    #[test]
    fn the_scale_brightens_steadily() {
        let light = |t: f64| inferno(t).iter().zip([0.2126, 0.7152, 0.0722]).map(|(c, w)| c * w).sum::<f64>();
        assert!(light(0.0) < 0.01 && light(1.0) > 0.9);
        assert!((0..100).all(|i| light(f64::from(i + 1) / 100.0) > light(f64::from(i) / 100.0) - 1e-3));
    }

    #[test]
    fn the_table_is_the_blend_within_a_level() {
        for i in 0..=1000 {
            let value = f64::from(i) / 1000.0;
            let (color, opacity) = (inferno(value), OPACITY * value);
            for grey in 0..=255u8 {
                let mut pixel = [grey; 3];
                TINTS[(value * STEPS as f64 + 0.5) as usize].lay_over(&mut pixel);
                for (sample, color) in pixel.into_iter().zip(color) {
                    let exact = f64::from(grey) * (1.0 - opacity) + 255.0 * color * opacity;
                    assert!(
                        (f64::from(sample) - exact).abs() < 0.625,
                        "{value} over {grey}: {sample}, exactly {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn bad_maps_are_refused() {
        let (scan, geometry) = scan(70, 70);
        for (values, grid) in [(&[1.0; 3][..], 2), (&[], 0), (&[1.0; 4], usize::MAX)] {
            assert_eq!(draw(&scan, &geometry, values, grid).unwrap_err().kind(), ErrorKind::Internal);
        }
        let damaged = draw(&scan, &geometry, &[1.0, f32::NAN, 0.0, 0.0], 2).unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::Model);
    }

    #[test]
    fn file_is_a_png() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map.png");
        let (scan, geometry) = scan(90, 60);
        let picture = draw(&scan, &geometry, &[0.0, 1.0, 2.0, 3.0], 2).unwrap();
        write(&path, &picture).unwrap();
        let back = crate::scan::read(&path, &crate::scan::Limits::default()).unwrap();
        assert_eq!((back.width, back.height), (90, 60));
        assert_eq!(back.pixels.samples(), picture.as_raw());
    }
}
