//! The protobuf wire format, read in place: field by field, without copying.

use crate::error::{Error, ErrorKind, Result};

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(malformed("a field has the wrong wire type")),
        }
    }

    pub(crate) fn string(self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| malformed("a string is not UTF-8"))
    }

    pub(crate) fn integer(self) -> Result<i64> {
        match self {
            Value::Varint(v) => Ok(v as i64),
            _ => Err(malformed("a field has the wrong wire type")),
        }
    }

    pub(crate) fn float(self) -> Result<f32> {
        match self {
            Value::Fixed32(v) => Ok(f32::from_bits(v)),
            _ => Err(malformed("a field has the wrong wire type")),
        }
    }

    /// A repeated integer field's values: packed or single.
    pub(crate) fn integers(self, out: &mut Vec<i64>) -> Result<()> {
        match self {
            Value::Varint(v) => out.push(v as i64),
            Value::Bytes(mut bytes) => {
                while !bytes.is_empty() {
                    out.push(varint(&mut bytes)? as i64);
                }
            }
            _ => return Err(malformed("a field has the wrong wire type")),
        }
        Ok(())
    }
}

/// Iterates over (field number, value) of a message.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = read(&mut self.0);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

fn read<'a>(bytes: &mut &'a [u8]) -> Result<(u64, Value<'a>)> {
    let key = varint(bytes)?;
    let value = match key & 7 {
        0 => Value::Varint(varint(bytes)?),
        1 => {
            take(bytes, 8)?;
            Value::Fixed64
        }
        2 => {
            let length = usize::try_from(varint(bytes)?).map_err(|_| malformed("a length is out of range"))?;
            Value::Bytes(take(bytes, length)?)
        }
        5 => {
            let raw = take(bytes, 4)?;
            Value::Fixed32(u32::from_le_bytes([raw[0], raw[1], raw[2], raw[3]]))
        }
        _ => return Err(malformed("an unknown wire type")),
    };
    Ok((key >> 3, value))
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Result<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(n).ok_or_else(|| malformed("the file ends inside a field"))?;
    *bytes = rest;
    Ok(head)
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or_else(|| malformed("the file ends inside a number"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed("a number is longer than 64 bits"))
}

pub(crate) fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Model, format!("not a readable ONNX file: {what}"))
        .hint("check that the file is complete and was written by rad-dino-quantize convert")
}
