//! Damage to files, the same in every run: what a fuzzer does, bounded by count.

/// A small generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

/// Values at which lengths, counts and offsets break.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 40,
    u64::MAX,
];

/// What a number, a word or a bracket of a text becomes.
const WORDS: [&str; 22] = [
    "0",
    "-1",
    "1",
    "2",
    "3",
    "7",
    "65536",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e-320",
    "1e999",
    "0.5",
    "NaN",
    "null",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[[[[[[[[[[[[[[[[",
    "\u{0}\u{202e}é",
];

/// Where structure is dense: the first and the last bytes of a file.
const DENSE: usize = 768;

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`; 0 when there is nothing below.
    pub fn below(&mut self, end: usize) -> usize {
        (self.any() % end.max(1) as u64) as usize
    }

    fn place(&mut self, length: usize) -> usize {
        match self.below(4) {
            0 => self.below(length.min(DENSE)),
            1 => length.saturating_sub(1 + self.below(length.min(DENSE))),
            _ => self.below(length),
        }
    }
}

/// `whole` with one to three damages.
pub fn damaged(whole: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=random.below(3) {
        damage(&mut bytes, random);
    }
    bytes
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.place(bytes.len());
    let end = (at + 1 + random.below(32)).min(bytes.len());
    match random.below(10) {
        _ if bytes.is_empty() => bytes.push(random.any() as u8),
        0 | 1 => bytes[at] ^= 1 << random.below(8),
        2 => bytes[at] = random.any() as u8,
        3 => bytes.truncate(at),
        4..=6 => {
            let (value, width) = (EDGES[random.below(EDGES.len())], 1 << random.below(4));
            let value =
                if random.below(2) == 0 { value.to_le_bytes() } else { (value << (64 - 8 * width)).to_be_bytes() };
            bytes[at..].iter_mut().zip(&value[..width]).for_each(|(byte, value)| *byte = *value);
        }
        7 => {
            // a splice over what is there
            let part = bytes[at..end].to_vec();
            let to = random.place(bytes.len());
            bytes[to..].iter_mut().zip(part).for_each(|(byte, value)| *byte = value);
        }
        8 => {
            let part = bytes[at..end].to_vec();
            let to = random.place(bytes.len());
            bytes.splice(to..to, part);
        }
        _ => drop(bytes.drain(at..end)),
    }
}

/// `whole`, a text of JSON or csv, with one or two of its numbers, words or brackets replaced, left out or doubled; now and
/// then with damaged bytes.
pub fn damaged_text(whole: &[u8], random: &mut Random) -> Vec<u8> {
    if random.below(5) == 0 {
        return damaged(whole, random);
    }
    let mut bytes = whole.to_vec();
    for _ in 0..=random.below(2) {
        let tokens = tokens(&bytes);
        if tokens.is_empty() {
            break;
        }
        let token = tokens[random.below(tokens.len())].clone();
        let by = match random.below(4) {
            0 => vec![],
            1 => [&bytes[token.clone()], &bytes[token.clone()]].concat(),
            _ => WORDS[random.below(WORDS.len())].into(),
        };
        bytes.splice(token, by);
    }
    bytes
}

/// Runs of letters, digits, signs and dots; every other byte that is no white space.
fn tokens(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'_');
    let mut tokens: Vec<std::ops::Range<usize>> = vec![];
    for (at, byte) in text.iter().enumerate().filter(|(_, byte)| !byte.is_ascii_whitespace()) {
        match tokens.last_mut() {
            Some(last) if last.end == at && is_word(*byte) && is_word(text[at - 1]) => last.end = at + 1,
            _ => tokens.push(at..at + 1),
        }
    }
    tokens
}

/// PNG `bytes` with the check sums of its chunks made right, so that damage gets past them.
pub fn with_check_sums(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4).and_then(|b| b.first_chunk().copied()) {
        let end = at + 8 + u32::from_be_bytes(length) as usize;
        if end + 4 > bytes.len() {
            break;
        }
        let sum = crc32(&bytes[at + 4..end]).to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&sum);
        at = end + 4;
    }
    bytes
}

/// Of PNG (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xedb8_8320 & 0u32.wrapping_sub(sum & 1)))
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_does_the_same_damage() {
        let whole: Vec<u8> = (0..=255).collect();
        let run = || {
            let mut random = Random::new(3);
            (0..200).map(|_| damaged(&whole, &mut random)).collect::<Vec<_>>()
        };
        let damaged = run();
        assert_eq!(damaged, run());
        let changed = damaged.iter().filter(|bytes| **bytes != whole).count();
        assert!(changed > 180, "{changed}");
    }

    #[test]
    fn tokens_are_words_and_signs() {
        let text = b"{\"a_b\": [1.5e-3, true]}";
        let words: Vec<_> = tokens(text).into_iter().map(|token| &text[token]).collect();
        let expected = ["{", "\"", "a_b", "\"", ":", "[", "1.5e-3", ",", "true", "]", "}"];
        assert_eq!(words, expected.map(str::as_bytes));
    }

    #[test]
    fn check_sums_are_those_of_png() {
        // the last chunk of every PNG
        let png = [&[0; 8][..], b"\0\0\0\0IEND\0\0\0\0"].concat();
        assert!(with_check_sums(png).ends_with(&[0xae, 0x42, 0x60, 0x82]));
    }
}
