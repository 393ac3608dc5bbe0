//! Where the crops lie: RandomResizedCrop's rectangles, global and local.

use crate::random::Random;

/// A rectangle in pixels, inside the film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rectangle {
    /// First column.
    pub left: usize,
    /// First row.
    pub top: usize,
    /// Columns, at least 1.
    pub width: usize,
    /// Rows, at least 1.
    pub height: usize,
}

/// One kind of crop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Side of the result, pixels.
    pub size: usize,
    /// Smallest share of the film's area.
    pub low: f64,
    /// Largest share of the film's area.
    pub high: f64,
}

/// Global and local crops of one film.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MultiCrop {
    /// The two crops that the teacher sees.
    pub global: Crop,
    /// The crops that only the student sees.
    pub local: Crop,
    /// How many local crops.
    pub locals: usize,
}

/// Width / height of a rectangle.
const ASPECT: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);

impl Crop {
    /// A rectangle of random area and aspect in a film of `width`×`height`, as torchvision's RandomResizedCrop draws
    /// it: ten tries, then the largest centred one of allowed aspect.
    pub fn draw(&self, width: usize, height: usize, random: &mut Random) -> Rectangle {
        let area = (width * height) as f64;
        for _ in 0..10 {
            let target = area * random.range(self.low, self.high);
            let aspect = random.range(ASPECT.0.ln(), ASPECT.1.ln()).exp();
            let w = (target * aspect).sqrt().round() as usize;
            let h = (target / aspect).sqrt().round() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let (top, left) = (random.below(height - h + 1), random.below(width - w + 1));
                return Rectangle { left, top, width: w, height: h };
            }
        }
        let ratio = width as f64 / height as f64;
        let (w, h) = if ratio < ASPECT.0 {
            (width, (width as f64 / ASPECT.0).round() as usize)
        } else if ratio > ASPECT.1 {
            ((height as f64 * ASPECT.1).round() as usize, height)
        } else {
            (width, height)
        };
        let (w, h) = (w.clamp(1, width.max(1)), h.clamp(1, height.max(1)));
        Rectangle { left: (width - w) / 2, top: (height - h) / 2, width: w, height: h }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangles_stay_inside_and_have_the_area_and_aspect() {
        let crop = Crop { size: 98, low: 0.05, high: 0.32 };
        let mut random = Random::new(1);
        let mut shares = Vec::new();
        for _ in 0..2_000 {
            let r = crop.draw(300, 256, &mut random);
            assert!(r.left + r.width <= 300 && r.top + r.height <= 256);
            let aspect = r.width as f64 / r.height as f64;
            assert!((0.73..1.37).contains(&aspect), "{aspect}");
            shares.push((r.width * r.height) as f64 / (300.0 * 256.0));
        }
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        assert!(shares.iter().all(|s| (0.045..0.33).contains(s)) && (mean - 0.185).abs() < 0.01, "{mean}");
    }

    #[test]
    fn long_films_fall_back_to_the_centre() {
        let crop = Crop { size: 8, low: 0.9, high: 1.0 };
        let r = crop.draw(100, 10, &mut Random::new(2));
        assert_eq!(r, Rectangle { left: 43, top: 0, width: 13, height: 10 });
        assert_eq!(crop.draw(1, 1, &mut Random::new(2)), Rectangle { left: 0, top: 0, width: 1, height: 1 });
    }
}
