//! The Modality LUT (PS3.3, C.11.1): what a stored value means to the modality.

use super::attributes::{Stored, number, short};
use super::malformed;
use super::walk::Elements;
use crate::Result;

/// From a stored value to the modality's.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ModalityLut {
    Rescale {
        slope: f64,
        intercept: f64,
    },
    /// One level a stored value, from `first` on; beyond its ends the table's first and last hold.
    Table {
        first: i32,
        levels: Vec<u16>,
    },
}

impl ModalityLut {
    pub fn of(elements: &Elements, stored: Stored, big_endian: bool) -> Result<ModalityLut> {
        let item = |element: u16| elements.modality_lut.get(&(0x0028, element)).copied();
        if let (Some(descriptor), Some(data)) = (item(0x3002), item(0x3006)) {
            let (first, levels) = table(descriptor, data, stored.signed, big_endian, "Modality LUT")?;
            return Ok(ModalityLut::Table { first, levels });
        }
        let rescale = |element: u16, name: &str| {
            // An empty value is no value.
            let value = elements.image.get(&(0x0028, element)).filter(|value| !value.trim_ascii().is_empty());
            let broken = || malformed(format_args!("the tag {name} (0028,{element:04X}) holds no number"));
            value.map(|value| number(value).ok_or_else(broken)).transpose()
        };
        let intercept = rescale(0x1052, "RescaleIntercept")?.unwrap_or(0.0);
        let slope = rescale(0x1053, "RescaleSlope")?.unwrap_or(1.0);
        Ok(ModalityLut::Rescale { slope, intercept })
    }

    /// The level of a stored value, up to a linear map that rises: all that a stretch from minimum to maximum can tell,
    /// since slope and intercept cancel out.
    pub fn level(&self, value: i32) -> i32 {
        match self {
            ModalityLut::Rescale { slope, .. } if *slope < 0.0 => -value,
            ModalityLut::Rescale { slope, .. } if *slope > 0.0 => value,
            ModalityLut::Rescale { .. } => 0,
            ModalityLut::Table { first, levels } => {
                let index = usize::try_from(value - first).unwrap_or(0).min(levels.len().saturating_sub(1));
                levels.get(index).copied().map_or(0, i32::from)
            }
        }
    }

    /// The modality's value of a stored one.
    pub fn value(&self, value: i32) -> f64 {
        match self {
            ModalityLut::Rescale { slope, intercept } => f64::from(value) * slope + intercept,
            ModalityLut::Table { .. } => self.level(value).into(),
        }
    }

    /// Whether the modality's values can be negative.
    pub fn is_signed(&self, stored: Stored) -> bool {
        match self {
            ModalityLut::Rescale { slope, intercept } => stored.signed || *intercept < 0.0 || *slope < 0.0,
            ModalityLut::Table { .. } => false,
        }
    }
}

/// The value that a table's first entry is for, and its entries. `what` names the table in messages.
pub(super) fn table(
    descriptor: &[u8],
    data: &[u8],
    signed: bool,
    big_endian: bool,
    what: &str,
) -> Result<(i32, Vec<u16>)> {
    let broken = || malformed(format_args!("its {what} does not fit its LUTDescriptor (0028,3002)"));
    let field = |at: usize| short(descriptor.get(at..), big_endian).ok_or_else(broken);
    let entries = match field(0)? {
        0 => 65_536,
        n => usize::from(n),
    };
    let (first, bits) = (field(2)?, field(4)?);
    let first = if signed { i32::from(first.cast_signed()) } else { i32::from(first) };
    let levels: Vec<u16> = if data.len() >= 2 * entries {
        data.chunks_exact(2).take(entries).filter_map(|pair| short(Some(pair), big_endian)).collect()
    } else if bits <= 8 && data.len() >= entries {
        data.iter().take(entries).map(|&b| b.into()).collect()
    } else {
        return Err(broken());
    };
    Ok((first, levels))
}
