//! Unique identifiers that the same input gives again.

use sha2::{Digest, Sha256};

/// A UID below 2.25, the root for UUIDs (PS3.5, B.2), from what identifies the thing. The UUID is of version 8, its
/// other bits are the first of the SHA-256 over `parts`.
pub(super) fn derive(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_parts_same_uid_and_no_part_runs_into_the_next() {
        assert_eq!(derive(&["a", "b"]), derive(&["a", "b"]));
        let others = [derive(&["ab", ""]), derive(&["", "ab"]), derive(&["ab"]), derive(&["a", "b"])];
        for (i, one) in others.iter().enumerate() {
            assert!(others[i + 1..].iter().all(|other| other != one));
            let number: u128 = one.strip_prefix("2.25.").unwrap().parse().unwrap();
            assert!(one.len() <= 64 && (number >> 76) & 0xf == 8 && (number >> 62) & 3 == 2, "{one}");
        }
    }
}
