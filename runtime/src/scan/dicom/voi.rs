//! Values of interest (PS3.3, C.11.2): a table or a window over what the Modality LUT gives.

use super::attributes::{number, short};
use super::walk::{Elements, trim};
use super::{lut, malformed, unsupported};
use crate::Result;

/// From a modality's value to a grey level.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum VoiLut {
    /// One level a value, from `first` on, out of 0..=`white`; beyond its ends the table's first and last hold.
    Table {
        first: i32,
        levels: Vec<u16>,
        white: u16,
    },
    Window {
        center: f64,
        width: f64,
        function: Function,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Linear,
    LinearExact,
    Sigmoid,
}

impl VoiLut {
    /// The first table, else the first window; `None` when the file has neither. `signed`: whether the values that go
    /// in can be negative.
    pub fn first(elements: &Elements, signed: bool, big_endian: bool) -> Result<Option<VoiLut>> {
        let item = |element: u16| elements.voi_lut.get(&(0x0028, element)).copied();
        if let (Some(descriptor), Some(data)) = (item(0x3002), item(0x3006)) {
            let (first, levels) = lut::table(descriptor, data, signed, big_endian, "VOI LUT")?;
            let bits = short(descriptor.get(4..), big_endian).filter(|bits| (1..=16).contains(bits));
            let bits = bits.ok_or_else(|| malformed("its VOI LUT has no number of bits"))?;
            return Ok(Some(VoiLut::Table { first, levels, white: u16::MAX >> (16 - bits) }));
        }
        let value = |element: u16, name: &str| {
            let value = elements.image.get(&(0x0028, element)).filter(|value| !trim(value).is_empty());
            let broken = || malformed(format_args!("the tag {name} (0028,{element:04X}) holds no number"));
            value.map(|value| number(value).ok_or_else(broken)).transpose()
        };
        let (Some(center), Some(width)) = (value(0x1050, "WindowCenter")?, value(0x1051, "WindowWidth")?) else {
            return Ok(None);
        };
        let function = match elements.image.get(&(0x0028, 0x1056)).map(|word| trim(word)) {
            None | Some(b"" | b"LINEAR") => Function::Linear,
            Some(b"LINEAR_EXACT") => Function::LinearExact,
            Some(b"SIGMOID") => Function::Sigmoid,
            Some(_) => return Err(unsupported("its VOILUTFunction (0028,1056) is none of the standard's")),
        };
        if width <= 0.0 || width < 1.0 && function == Function::Linear {
            return Err(malformed("the tag WindowWidth (0028,1051) is too small"));
        }
        Ok(Some(VoiLut::Window { center, width, function }))
    }

    /// The level of a modality's value, 0 black and 255 white, rounded to nearest, halves up.
    pub fn grey(&self, value: f64) -> u8 {
        let level = match self {
            VoiLut::Table { first, levels, white } => {
                let index = (value - f64::from(*first)).clamp(0.0, levels.len().saturating_sub(1) as f64);
                f64::from(levels.get(index as usize).copied().unwrap_or(0)) / f64::from(*white)
            }
            VoiLut::Window { center, width, function: Function::Sigmoid } => {
                1.0 / (1.0 + (-4.0 * (value - center) / width).exp())
            }
            VoiLut::Window { center, width, function } => {
                let (center, width) = match function {
                    Function::Linear => (center - 0.5, width - 1.0),
                    _ => (*center, *width),
                };
                if value <= center - width / 2.0 {
                    0.0
                } else if value > center + width / 2.0 {
                    1.0
                } else {
                    (value - center) / width + 0.5
                }
            }
        };
        (level * 255.0 + 0.5).floor().clamp(0.0, 255.0) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Levels that tests/reference/dicom_reference.py made with pydicom.
    #[test]
    fn windows_are_pydicoms() {
        let table = include_str!("../../../../tests/reference/data/dicom_windows.csv");
        let mut compared = 0;
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split(',').collect();
            let number = |at: usize| fields[at].parse::<f64>().unwrap();
            let function = match fields[0] {
                "LINEAR" => Function::Linear,
                "LINEAR_EXACT" => Function::LinearExact,
                _ => Function::Sigmoid,
            };
            let voi = VoiLut::Window { center: number(1), width: number(2), function };
            assert_eq!(f64::from(voi.grey(number(3))), number(4), "{line}");
            compared += 1;
        }
        assert!(compared > 100);
    }

    #[test]
    fn tables_hold_beyond_their_ends() {
        let voi = VoiLut::Table { first: -1, levels: vec![0, 1000, 4095], white: 4095 };
        assert_eq!([-9.0, -1.0, 0.0, 0.9, 1.0, 70_000.0].map(|value| voi.grey(value)), [0, 0, 62, 62, 255, 255]);
    }
}
