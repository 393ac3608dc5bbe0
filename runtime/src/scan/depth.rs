//! 16 bits to 8: linear from the picture's own minimum and maximum.

/// Maps `samples` so that their minimum becomes 0 and their maximum 255, rounded to nearest, halves up.
/// A constant picture becomes 0.
pub(super) fn stretch(samples: &[u16]) -> Vec<u8> {
    let (low, high) = samples.iter().fold((u16::MAX, u16::MIN), |(low, high), &s| (low.min(s), high.max(s)));
    if low >= high {
        return vec![0; samples.len()];
    }
    let range = u32::from(high - low);
    // 65,535 · 510 + 65,535 stays below 2³²; the quotient is at most 255.
    samples.iter().map(|&s| ((u32::from(s - low) * 510 + range) / (2 * range)) as u8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_and_halves() {
        assert_eq!(stretch(&[1000, 1510, 1001, 1003]), [0, 255, 1, 2]);
        assert_eq!(stretch(&[0, 65_535, 32_768]), [0, 255, 128]);
        assert_eq!(stretch(&[7, 7, 7]), [0, 0, 0]);
        assert_eq!(stretch(&[]), Vec::<u8>::new());
    }

    proptest! {
        #[test]
        fn is_the_rounded_line(samples in proptest::collection::vec(any::<u16>(), 2..50)) {
            let low = f64::from(*samples.iter().min().unwrap());
            let high = f64::from(*samples.iter().max().unwrap());
            prop_assume!(high > low);
            for (&s, v) in samples.iter().zip(stretch(&samples)) {
                let exact = (f64::from(s) - low) * 255.0 / (high - low);
                prop_assert!((exact - f64::from(v)).abs() <= 0.5 + 1e-9);
            }
        }
    }
}
