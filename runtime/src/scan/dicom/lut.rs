//! The Modality LUT (PS3.3, C.11.1): what a stored value means to the modality.

use super::attributes::{Stored, number, short};
use super::malformed;
use super::walk::Elements;
use crate::Result;

/// As far as a min–max stretch can tell: a linear rescale keeps the order or turns it around, and its slope and
/// intercept cancel out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ModalityLut {
    Rising,
    Flat,
    Falling,
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
            return table(descriptor, data, stored, big_endian);
        }
        let rescale = |element: u16, name: &str| {
            // An empty value is no value.
            let value = elements.image.get(&(0x0028, element)).filter(|value| !value.trim_ascii().is_empty());
            let broken = || malformed(format_args!("the tag {name} (0028,{element:04X}) holds no number"));
            value.map(|value| number(value).ok_or_else(broken)).transpose()
        };
        rescale(0x1052, "RescaleIntercept")?;
        Ok(match rescale(0x1053, "RescaleSlope")? {
            Some(slope) if slope < 0.0 => ModalityLut::Falling,
            Some(0.0) => ModalityLut::Flat,
            _ => ModalityLut::Rising,
        })
    }

    /// The level of a stored value, up to a linear map that rises.
    pub fn level(&self, value: i32) -> i32 {
        match self {
            ModalityLut::Rising => value,
            ModalityLut::Flat => 0,
            ModalityLut::Falling => -value,
            ModalityLut::Table { first, levels } => {
                let index = usize::try_from(value - first).unwrap_or(0).min(levels.len().saturating_sub(1));
                levels.get(index).copied().map_or(0, i32::from)
            }
        }
    }
}

fn table(descriptor: &[u8], data: &[u8], stored: Stored, big_endian: bool) -> Result<ModalityLut> {
    let broken = || malformed("its Modality LUT does not fit its LUTDescriptor (0028,3002)");
    let field = |at: usize| short(descriptor.get(at..), big_endian).ok_or_else(broken);
    let entries = match field(0)? {
        0 => 65_536,
        n => usize::from(n),
    };
    let (first, bits) = (stored.number(field(2)?), field(4)?);
    let levels: Vec<u16> = if data.len() >= 2 * entries {
        data.chunks_exact(2).take(entries).filter_map(|pair| short(Some(pair), big_endian)).collect()
    } else if bits <= 8 && data.len() >= entries {
        data.iter().take(entries).map(|&b| b.into()).collect()
    } else {
        return Err(broken());
    };
    Ok(ModalityLut::Table { first, levels })
}
