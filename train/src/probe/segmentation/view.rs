//! A film and its mask as training sees them: whole, or a window of them, perhaps mirrored.

use rad_dino_edge::Result;
use rad_dino_edge::preprocess::{Preprocessing, preprocess};
use rad_dino_edge::scan::{Pixels, Scan};

use crate::data::Mask;
use crate::data::mask::Target;
use crate::random::Random;

/// Smallest share of a film's side that a window takes.
const SMALLEST: f64 = 0.75;

/// What of a film is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    mirrored: bool,
}

impl View {
    /// The whole film.
    pub fn whole(scan: &Scan) -> Self {
        View { left: 0, top: 0, width: scan.width as usize, height: scan.height as usize, mirrored: false }
    }

    /// Three quarters to all of each side, anywhere, mirrored every other time: a lung is a lung on either side, and
    /// nothing is learnt here about which is which.
    pub fn window(scan: &Scan, random: &mut Random) -> Self {
        let mut part = |side: usize| {
            let length = ((side as f64 * random.range(SMALLEST, 1.0)) as usize).max(1);
            (random.below(side + 1 - length), length)
        };
        let ((left, width), (top, height)) = (part(scan.width as usize), part(scan.height as usize));
        View { left, top, width, height, mirrored: random.chance(0.5) }
    }

    /// Pixel values [3, S, S] and the mask on `side`×`side` cells.
    ///
    /// # Errors
    /// Those of the preprocessing.
    pub fn take(&self, scan: &Scan, mask: &Mask, p: &Preprocessing, side: usize) -> Result<(Vec<f32>, Target)> {
        let row = scan.width as usize;
        let pixels = match &scan.pixels {
            Pixels::Gray8(values) => Pixels::Gray8(self.cut(values, row, 1)),
            Pixels::Rgb8(values) => Pixels::Rgb8(self.cut(values, row, 3)),
        };
        let (width, height) = (self.width as u32, self.height as u32);
        let scan = Scan { width, height, pixels, ..scan.clone() };
        let mask = Mask { width, height, values: self.cut(&mask.values, row, 1) };
        let mut values = vec![0.0; 3 * p.crop_size * p.crop_size];
        let geometry = preprocess(&scan, p, &mut values)?;
        Ok((values, mask.target(&geometry, side)))
    }

    /// The window of [rows, `row`, `channels`].
    fn cut(&self, values: &[u8], row: usize, channels: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.width * self.height * channels);
        for line in values.chunks_exact(row * channels).skip(self.top).take(self.height) {
            let line = &line[self.left * channels..(self.left + self.width) * channels];
            match self.mirrored {
                true => out.extend(line.chunks_exact(channels).rev().flatten()),
                false => out.extend_from_slice(line),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::scan::Format;

    use super::*;

    #[test]
    fn film_and_mask_are_cut_alike() {
        let (width, height) = (40u32, 30u32);
        let values: Vec<u8> = (0..width * height).map(|i| if i % width < 13 { 255 } else { 0 }).collect();
        let scan = Scan {
            width,
            height,
            pixels: Pixels::Gray8(values.clone()),
            format: Format::Png,
            sha256: String::new(),
            tags: Default::default(),
        };
        let mask = Mask { width, height, values };
        let p = Preprocessing {
            shortest_edge: 24,
            crop_size: 24,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.5; 3],
            image_std: [0.5; 3],
        };
        let mut random = Random::new(5);
        for i in 0..60 {
            let view = if i == 0 { View::whole(&scan) } else { View::window(&scan, &mut random) };
            assert!(view.left + view.width <= 40 && view.top + view.height <= 30, "{view:?}");
            assert!(view.width >= 30 && view.height >= 22, "{view:?}");
            let (pixels, target) = view.take(&scan, &mask, &p, 24).unwrap();
            let agree = (0..24 * 24).filter(|&i| (pixels[i] > 0.0) == (target.inside[i] > 127)).count();
            assert!(agree >= 24 * 23, "{view:?}: {agree}");
        }
    }
}
