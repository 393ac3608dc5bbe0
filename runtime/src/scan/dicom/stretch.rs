//! Stored values to 8 bits: Modality LUT, minimum and maximum without padding or values of interest, inversion.

use super::attributes::Attributes;
use super::lut::ModalityLut;
use super::voi::VoiLut;

/// Maps stored `values` linearly so that the lowest level becomes 0 and the highest 255, rounded to nearest, halves up;
/// padding takes the minimum's 0. With `voi` that decides about the levels instead. MONOCHROME1 is then inverted. A
/// constant picture is 0 before that.
pub(super) fn stretch(values: &[u16], attributes: &Attributes, lut: &ModalityLut, voi: Option<&VoiLut>) -> Vec<u8> {
    // All that can be stored is 65,536 values: one table for both passes.
    let mut seen = vec![false; 1 << 16];
    for &value in values {
        seen[usize::from(value)] = true;
    }
    let levels: Vec<Option<i32>> = (0..=u16::MAX)
        .map(|value| {
            let number = attributes.stored.number(value);
            let padding = attributes.padding.as_ref().is_some_and(|padding| padding.contains(&number));
            (seen[usize::from(value)] && !padding).then(|| lut.level(number))
        })
        .collect();
    let low = levels.iter().flatten().min().copied().unwrap_or(0);
    let high = levels.iter().flatten().max().copied().unwrap_or(0);
    let range = i64::from(high) - i64::from(low);
    let table: Vec<u8> = (0..=u16::MAX)
        .zip(levels)
        .map(|(value, level)| {
            let grey = match (level, voi) {
                (Some(_), Some(voi)) => voi.grey(lut.value(attributes.stored.number(value))),
                (Some(level), None) if range > 0 => {
                    let above = i64::from(level) - i64::from(low);
                    ((above * 510 + range) / (2 * range)) as u8
                }
                _ => 0,
            };
            if attributes.inverted { 255 - grey } else { grey }
        })
        .collect();
    values.iter().map(|&value| table[usize::from(value)]).collect()
}
