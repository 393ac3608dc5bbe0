//! 8-bit pixels, grey or colour.

/// Row-major 8-bit pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pixels {
    /// [height, width]
    Gray8(Vec<u8>),
    /// [height, width, 3]
    Rgb8(Vec<u8>),
}

impl Pixels {
    /// 1 or 3.
    pub fn channels(&self) -> usize {
        match self {
            Pixels::Gray8(_) => 1,
            Pixels::Rgb8(_) => 3,
        }
    }

    /// All samples, in order.
    pub fn samples(&self) -> &[u8] {
        match self {
            Pixels::Gray8(v) | Pixels::Rgb8(v) => v,
        }
    }

    /// RGB whose channels are equal everywhere becomes grey: same result later on, a third of the work.
    pub(super) fn from_rgb(rgb: Vec<u8>) -> Pixels {
        let (pixels, _) = rgb.as_chunks::<3>();
        if pixels.iter().all(|[r, g, b]| r == g && g == b) {
            Pixels::Gray8(pixels.iter().map(|p| p[0]).collect())
        } else {
            Pixels::Rgb8(rgb)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_channels_collapse() {
        assert_eq!(Pixels::from_rgb(vec![1, 1, 1, 9, 9, 9]), Pixels::Gray8(vec![1, 9]));
        assert_eq!(Pixels::from_rgb(vec![1, 1, 1, 9, 9, 8]), Pixels::Rgb8(vec![1, 1, 1, 9, 9, 8]));
    }
}
