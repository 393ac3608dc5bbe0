//! Sizes of a segmentation head that this build runs, wherever they are read.

/// C·s²: channels times sub-pixels of a patch.
const MAX_ROWS: usize = 4_096;
const MAX_HIDDEN: usize = 4_096;
const MAX_CONVOLUTIONS: usize = 8;

/// C, s, W and the number of 3×3 convolutions between the first layer and the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentationSizes {
    /// C
    pub channels: usize,
    /// s: logits a side of a patch.
    pub scale: usize,
    /// W; 0 for a linear head.
    pub hidden: usize,
    /// 3×3 convolutions.
    pub convolutions: usize,
}

impl SegmentationSizes {
    /// C·s², the rows of the readout; None for sizes that make no head or one beyond the limits.
    pub fn rows(&self) -> Option<usize> {
        let rows = self.scale.checked_mul(self.scale)?.checked_mul(self.channels)?;
        let within =
            (1..=MAX_ROWS).contains(&rows) && self.hidden <= MAX_HIDDEN && self.convolutions <= MAX_CONVOLUTIONS;
        (within && (self.hidden > 0 || self.convolutions == 0)).then_some(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let rows =
            |channels, scale, hidden, convolutions| SegmentationSizes { channels, scale, hidden, convolutions }.rows();
        assert_eq!(rows(2, 4, 64, 1), Some(32));
        assert_eq!(rows(1, 1, 0, 0), Some(1));
        for (channels, scale, hidden, convolutions) in [
            (0, 1, 0, 0),
            (1, 0, 0, 0),
            (1, 1, 0, 1),
            (1, usize::MAX, 8, 0),
            (usize::MAX, 2, 8, 0),
            (1, 65, 8, 0),
            (1, 4, 4_097, 0),
            (1, 4, 8, 9),
        ] {
            assert_eq!(rows(channels, scale, hidden, convolutions), None, "{channels} {scale} {hidden} {convolutions}");
        }
    }
}
