//! From 8 bits to the model's `pixel_values`.

use super::{Geometry, Preprocessing, crop_at};
use crate::scan::{Pixels, Scan};
use crate::{Error, ErrorKind, Result};

/// Resizes, crops, rescales and normalises `scan` into `out`, [3, S, S]. A grey scan fills all three channels.
///
/// # Errors
/// Those of [`super::resize_and_crop`]; `Internal` when `out` is not 3 · S · S long.
pub fn preprocess(scan: &Scan, preprocessing: &Preprocessing, out: &mut [f32]) -> Result<Geometry> {
    let geometry = Geometry::new(scan.width, scan.height, preprocessing)?;
    preprocess_at(scan, preprocessing, &geometry, out)?;
    Ok(geometry)
}

/// The same for another crop than the centre one, [`Geometry::windows`].
///
/// # Errors
/// As [`preprocess`].
pub fn preprocess_at(scan: &Scan, preprocessing: &Preprocessing, geometry: &Geometry, out: &mut [f32]) -> Result<()> {
    preprocessing.validate()?;
    let plane = preprocessing.crop_size * preprocessing.crop_size;
    if out.len() != 3 * plane {
        let message = format!("pixel_values of {} floats were wanted, {} given", 3 * plane, out.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    let crop = crop_at(scan, geometry)?;
    for (channel, out) in out.chunks_exact_mut(plane).enumerate() {
        let table = table(preprocessing, channel);
        match &crop {
            Pixels::Gray8(samples) => {
                out.iter_mut().zip(samples).for_each(|(o, &s)| *o = table[usize::from(s)]);
            }
            Pixels::Rgb8(samples) => {
                out.iter_mut().zip(samples.as_chunks::<3>().0).for_each(|(o, p)| *o = table[usize::from(p[channel])]);
            }
        }
    }
    Ok(())
}

/// The value of each grey level, computed as transformers does: the product in f64, all else in f32.
fn table(preprocessing: &Preprocessing, channel: usize) -> [f32; 256] {
    let (mean, std) = (preprocessing.image_mean[channel] as f32, preprocessing.image_std[channel] as f32);
    std::array::from_fn(|level| ((level as f64 * preprocessing.rescale_factor) as f32 - mean) / std)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::Format;

    fn constants() -> Preprocessing {
        Preprocessing {
            shortest_edge: 2,
            crop_size: 2,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.485, 0.456, 0.406],
            image_std: [0.229, 0.224, 0.225],
        }
    }

    fn scan(pixels: Pixels) -> Scan {
        Scan { width: 2, height: 2, pixels, format: Format::Png, sha256: String::new(), tags: Default::default() }
    }

    #[test]
    fn channels_are_planes() {
        let rgb = scan(Pixels::Rgb8(vec![0, 10, 255, 1, 11, 254, 2, 12, 253, 3, 13, 252]));
        let mut out = [0.0; 12];
        preprocess(&rgb, &constants(), &mut out).unwrap();
        let levels = [[0, 1, 2, 3], [10, 11, 12, 13], [255, 254, 253, 252]];
        for (c, plane) in levels.iter().enumerate() {
            for (i, &level) in plane.iter().enumerate() {
                let exact = (f64::from(level) / 255.0 - constants().image_mean[c]) / constants().image_std[c];
                assert!((f64::from(out[c * 4 + i]) - exact).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn grey_equals_the_same_as_colour() {
        let grey = [7u8, 80, 200, 255];
        let (mut a, mut b) = ([0.0; 12], [0.0; 12]);
        preprocess(&scan(Pixels::Gray8(grey.to_vec())), &constants(), &mut a).unwrap();
        let rgb = grey.iter().flat_map(|&g| [g; 3]).collect();
        preprocess(&scan(Pixels::Rgb8(rgb)), &constants(), &mut b).unwrap();
        assert_eq!(a, b);
        assert_ne!(a[0], a[4]);
    }

    #[test]
    fn wrong_length_is_refused() {
        let grey = scan(Pixels::Gray8(vec![0; 4]));
        assert_eq!(preprocess(&grey, &constants(), &mut [0.0; 11]).unwrap_err().kind(), ErrorKind::Internal);
    }
}
