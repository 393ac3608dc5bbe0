//! Half-precision weights.

use half::f16;

/// Rounds to nearest even, little-endian bytes; None when a value is beyond ±65504.
pub(crate) fn encode(values: &[f32]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(values.len() * 2);
    for value in values {
        let half = f16::from_f32(*value);
        if !half.is_finite() {
            return None;
        }
        bytes.extend(half.to_le_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_and_refuses_overflow() {
        assert_eq!(encode(&[1.0, -2.0, 65504.0]).unwrap(), [0x00, 0x3c, 0x00, 0xc0, 0xff, 0x7b]);
        // halfway between 1 and the next half
        assert_eq!(encode(&[1.0 + 1.0 / 2048.0]).unwrap(), [0x00, 0x3c]);
        assert!(encode(&[65536.0]).is_none());
    }
}
