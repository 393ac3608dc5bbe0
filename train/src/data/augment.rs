//! From a film to one view of it: crop, brightness and contrast, blur, normalisation.
//!
//! What changes the meaning of a radiograph is left out: no hue or saturation (there is none), no solarisation (it
//! inverts bone and air), and no flip by default, because a mirrored chest is another diagnosis (dextrocardia, situs
//! inversus) and side markers would read backwards.

use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::{Pixels, Scan};

use crate::random::Random;
use crate::ssl::multi_crop::Rectangle;

/// Probabilities and ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// Probability of brightness and contrast.
    pub jitter_probability: f64,
    /// Both factors are drawn from 1 − j to 1 + j.
    pub jitter: f64,
    /// Probability of blur.
    pub blur_probability: f64,
    /// σ of the blur in pixels of the view, lowest and highest.
    pub blur_sigma: (f64, f64),
    /// Probability of a left-right flip.
    pub flip_probability: f64,
}

/// A film as grey levels in [0, 1].
#[derive(Clone, Debug, PartialEq)]
pub struct Film {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// [height, width]
    pub grey: Vec<f32>,
}

impl Film {
    /// Colour becomes luma (ITU-R 601), as Pillow's `convert("L")` weighs it.
    pub fn new(scan: &Scan) -> Self {
        let grey = match &scan.pixels {
            Pixels::Gray8(samples) => samples.iter().map(|&s| f32::from(s) / 255.0).collect(),
            Pixels::Rgb8(samples) => {
                let luma = |p: &[u8; 3]| 0.299 * f32::from(p[0]) + 0.587 * f32::from(p[1]) + 0.114 * f32::from(p[2]);
                samples.as_chunks::<3>().0.iter().map(|p| luma(p) / 255.0).collect()
            }
        };
        Film { width: scan.width as usize, height: scan.height as usize, grey }
    }

    /// The rectangle resized to `size`×`size`: bicubic (a = −0.5) with antialias, rows then columns, clipped to [0, 1].
    pub fn crop(&self, rectangle: Rectangle, size: usize) -> Vec<f32> {
        self.resize(rectangle, size, size)
    }

    /// The same to `width`×`height`.
    pub fn resize(&self, rectangle: Rectangle, width: usize, height: usize) -> Vec<f32> {
        let columns = taps(rectangle.width, width);
        let rows = taps(rectangle.height, height);
        let mut narrow = vec![0.0f32; rectangle.height * width];
        for (y, out) in narrow.chunks_exact_mut(width).enumerate() {
            let line = &self.grey[(rectangle.top + y) * self.width + rectangle.left..][..rectangle.width];
            for (o, (start, weights)) in out.iter_mut().zip(&columns) {
                // clipped between the passes too, as Pillow's 8-bit rows are
                *o = weights.iter().zip(&line[*start..]).map(|(w, v)| w * v).sum::<f32>().clamp(0.0, 1.0);
            }
        }
        let mut view = vec![0.0f32; width * height];
        for (out, (start, weights)) in view.chunks_exact_mut(width).zip(&rows) {
            for (w, line) in weights.iter().zip(narrow[start * width..].chunks_exact(width)) {
                out.iter_mut().zip(line).for_each(|(o, v)| *o += w * v);
            }
        }
        view.iter_mut().for_each(|v| *v = v.clamp(0.0, 1.0));
        view
    }
}

impl Augment {
    /// Changes a view [size, size] with values in [0, 1] in place. The draws are the same number whatever is applied.
    pub fn apply(&self, view: &mut [f32], size: usize, random: &mut Random) {
        let jitter = random.chance(self.jitter_probability);
        let brightness = random.range(1.0 - self.jitter, 1.0 + self.jitter) as f32;
        let contrast = random.range(1.0 - self.jitter, 1.0 + self.jitter) as f32;
        let blurred = random.chance(self.blur_probability);
        let sigma = random.range(self.blur_sigma.0, self.blur_sigma.1);
        let flipped = random.chance(self.flip_probability);
        if jitter {
            view.iter_mut().for_each(|v| *v = (*v * brightness).clamp(0.0, 1.0));
            let mean = view.iter().sum::<f32>() / view.len().max(1) as f32;
            view.iter_mut().for_each(|v| *v = (mean + (*v - mean) * contrast).clamp(0.0, 1.0));
        }
        if blurred && sigma > 0.0 {
            blur(view, size, sigma);
        }
        if flipped {
            view.chunks_exact_mut(size).for_each(<[f32]>::reverse);
        }
    }
}

/// Appends the view as three normalised channels.
pub fn push_normalized(view: &[f32], preprocessing: &Preprocessing, out: &mut Vec<f32>) {
    // rescale_factor turns 255 grey levels into what mean and deviation are of; views are in [0, 1] already
    let scale = (preprocessing.rescale_factor * 255.0) as f32;
    for (mean, std) in preprocessing.image_mean.iter().zip(&preprocessing.image_std) {
        let (mean, std) = (*mean as f32, *std as f32);
        out.extend(view.iter().map(|v| (v * scale - mean) / std));
    }
}

/// First input and weights of each output, along one axis.
fn taps(input: usize, output: usize) -> Vec<(usize, Vec<f32>)> {
    let scale = input as f64 / output as f64;
    let stretch = scale.max(1.0);
    (0..output)
        .map(|i| {
            let center = (i as f64 + 0.5) * scale;
            let start = (center - 2.0 * stretch + 0.5).max(0.0) as usize;
            let end = ((center + 2.0 * stretch + 0.5) as usize).min(input);
            let weights: Vec<f64> = (start..end).map(|x| keys((x as f64 - center + 0.5) / stretch)).collect();
            let sum: f64 = weights.iter().sum();
            (start, weights.iter().map(|w| (w / sum) as f32).collect())
        })
        .collect()
}

/// Keys' cubic with a = −0.5.
fn keys(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x < 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

/// Gaussian of deviation `sigma`, cut at 3σ, edges repeated.
fn blur(view: &mut [f32], size: usize, sigma: f64) {
    let radius = (3.0 * sigma).ceil() as usize;
    let weights: Vec<f64> = (0..=radius).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let total = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    let weights: Vec<f32> = weights.iter().map(|w| (w / total) as f32).collect();
    let last = size - 1;
    let mut rows = vec![0.0f32; view.len()];
    for (out, line) in rows.chunks_exact_mut(size).zip(view.chunks_exact(size)) {
        for (x, o) in out.iter_mut().enumerate() {
            *o = weights[0] * line[x];
            for (i, w) in weights.iter().enumerate().skip(1) {
                *o += w * (line[x.saturating_sub(i)] + line[(x + i).min(last)]);
            }
        }
    }
    let line = |y: usize| &rows[y * size..(y + 1) * size];
    for (y, out) in view.chunks_exact_mut(size).enumerate() {
        out.iter_mut().zip(line(y)).for_each(|(o, v)| *o = weights[0] * v);
        for (i, w) in weights.iter().enumerate().skip(1) {
            let pair = line(y.saturating_sub(i)).iter().zip(line((y + i).min(last)));
            out.iter_mut().zip(pair).for_each(|(o, (a, b))| *o += w * (a + b));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rad_dino_edge::preprocess::resize_and_crop;
    use rad_dino_edge::scan::Format;

    fn scan(width: u32, height: u32) -> Scan {
        let mut random = Random::new(2);
        let samples = (0..width * height).map(|i| ((i % width) / 2 + random.below(60) as u32).min(255) as u8).collect();
        let sha256 = String::new();
        Scan { width, height, pixels: Pixels::Gray8(samples), format: Format::Png, sha256, tags: Default::default() }
    }

    #[test]
    fn the_whole_film_is_resized_as_pillow_does_within_a_grey_level() {
        for (side, size) in [(300, 98), (60, 98), (98, 98)] {
            let scan = scan(side, side);
            let whole = Rectangle { left: 0, top: 0, width: side as usize, height: side as usize };
            let view = Film::new(&scan).crop(whole, size);
            let preprocessing = Preprocessing {
                shortest_edge: size,
                crop_size: size,
                rescale_factor: 1.0 / 255.0,
                image_mean: [0.0; 3],
                image_std: [1.0; 3],
            };
            let (exact, _) = resize_and_crop(&scan, &preprocessing).unwrap();
            let worst = view.iter().zip(exact.samples()).map(|(a, b)| (a * 255.0 - f32::from(*b)).abs());
            // half a level from each of Pillow's two roundings, the first weighted by taps that sum to 1.25 in magnitude
            assert!(worst.fold(0.0, f32::max) <= 1.2, "{side} to {size}");
        }
    }

    #[test]
    fn a_crop_sees_only_its_rectangle() {
        let film = Film::new(&scan(80, 50));
        let rectangle = Rectangle { left: 20, top: 10, width: 30, height: 35 };
        let cut: Vec<f32> = (10..45).flat_map(|y| film.grey[y * 80 + 20..y * 80 + 50].to_vec()).collect();
        let alone = Film { width: 30, height: 35, grey: cut };
        let all = Rectangle { left: 0, top: 0, width: 30, height: 35 };
        assert_eq!(film.crop(rectangle, 28), alone.crop(all, 28));
    }

    #[test]
    fn blur_keeps_constants_and_spreads_a_point() {
        let mut flat = vec![0.5; 81];
        blur(&mut flat, 9, 1.2);
        assert!(flat.iter().all(|v| (v - 0.5).abs() < 1e-6));
        let mut point = vec![0.0; 441];
        point[220] = 1.0;
        blur(&mut point, 21, 1.0);
        assert!((point.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        // e^(−½) of the centre, one pixel away
        assert!((point[221] / point[220] - 0.606_53).abs() < 1e-4);
    }

    #[test]
    fn views_stay_in_range_and_flip_is_off_at_zero() {
        let augment = Augment {
            jitter_probability: 1.0,
            jitter: 0.4,
            blur_probability: 0.5,
            blur_sigma: (0.3, 1.5),
            flip_probability: 0.0,
        };
        let film = Film::new(&scan(64, 64));
        let whole = Rectangle { left: 0, top: 0, width: 64, height: 64 };
        let mut random = Random::new(8);
        for _ in 0..30 {
            let mut view = film.crop(whole, 32);
            augment.apply(&mut view, 32, &mut random);
            assert!(view.iter().all(|v| (0.0..=1.0).contains(v)));
            // the film brightens to the right; a flip would reverse that
            let half = |from: usize| view.iter().skip(from).step_by(32).sum::<f32>();
            assert!(half(2) <= half(29));
        }
    }
}
