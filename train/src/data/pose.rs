//! Ways of holding a film wrongly.

use rad_dino_edge::scan::{Pixels, Scan};

/// What is done to an upright film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pose {
    /// Turned by 180°.
    HalfTurn,
    /// Top and bottom swapped.
    Flipped,
    /// Turned by 90°, clockwise.
    Right,
    /// Turned by 90°, counter-clockwise.
    Left,
    /// Bright and dark swapped.
    Inverted,
}

impl Pose {
    /// All of them.
    pub const ALL: [Pose; 5] = [Pose::HalfTurn, Pose::Flipped, Pose::Right, Pose::Left, Pose::Inverted];

    /// A word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Pose::HalfTurn => "half_turn",
            Pose::Flipped => "flipped",
            Pose::Right => "turned_right",
            Pose::Left => "turned_left",
            Pose::Inverted => "inverted",
        }
    }

    /// The detector that should find it.
    pub fn detector(self) -> &'static str {
        match self {
            Pose::HalfTurn | Pose::Flipped => "upside_down",
            Pose::Right | Pose::Left => "sideways",
            Pose::Inverted => "inverted",
        }
    }

    /// The film held like that.
    pub fn apply(self, scan: &Scan) -> Scan {
        let (width, height, channels) = (scan.width as usize, scan.height as usize, scan.pixels.channels());
        let samples = scan.pixels.samples();
        let sideways = matches!(self, Pose::Right | Pose::Left);
        let (columns, lines) = if sideways { (height, width) } else { (width, height) };
        let mut out = Vec::with_capacity(samples.len());
        for y in 0..lines {
            for x in 0..columns {
                let (from_x, from_y) = match self {
                    Pose::HalfTurn => (width - 1 - x, height - 1 - y),
                    Pose::Flipped => (x, height - 1 - y),
                    Pose::Right => (y, height - 1 - x),
                    Pose::Left => (width - 1 - y, x),
                    Pose::Inverted => (x, y),
                };
                let at = (from_y * width + from_x) * channels;
                out.extend_from_slice(&samples[at..at + channels]);
            }
        }
        if self == Pose::Inverted {
            out.iter_mut().for_each(|v| *v = 255 - *v);
        }
        let pixels = match &scan.pixels {
            Pixels::Gray8(_) => Pixels::Gray8(out),
            Pixels::Rgb8(_) => Pixels::Rgb8(out),
        };
        Scan { width: columns as u32, height: lines as u32, pixels, ..scan.clone() }
    }
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::scan::Format;

    use super::*;

    #[test]
    fn a_film_of_two_lines() {
        let scan = Scan {
            width: 3,
            height: 2,
            pixels: Pixels::Gray8(vec![1, 2, 3, 4, 5, 6]),
            format: Format::Png,
            sha256: String::new(),
            tags: rad_dino_edge::scan::Tags::default(),
        };
        let held = |pose: Pose| {
            let held = pose.apply(&scan);
            (held.width, held.pixels.samples().to_vec())
        };
        assert_eq!(held(Pose::HalfTurn), (3, vec![6, 5, 4, 3, 2, 1]));
        assert_eq!(held(Pose::Flipped), (3, vec![4, 5, 6, 1, 2, 3]));
        assert_eq!(held(Pose::Right), (2, vec![4, 1, 5, 2, 6, 3]));
        assert_eq!(held(Pose::Left), (2, vec![3, 6, 2, 5, 1, 4]));
        assert_eq!(held(Pose::Inverted), (3, vec![254, 253, 252, 251, 250, 249]));
    }
}
