//! Words of the reports as numbers.

use std::collections::BTreeMap;

/// Number of what fills a text up.
pub const PAD: usize = 0;
/// Number of a rare word.
pub const UNKNOWN: usize = 1;

/// The words that occur at least twice in the training reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    numbers: BTreeMap<String, usize>,
}

impl Vocabulary {
    /// At most `most` words, the most frequent first, ties by the alphabet.
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>, most: usize) -> Self {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        texts.into_iter().flat_map(words).for_each(|word| *counts.entry(word).or_default() += 1);
        let mut ranked: Vec<(String, usize)> = counts.into_iter().filter(|(_, n)| *n > 1).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        ranked.truncate(most);
        Vocabulary { numbers: ranked.into_iter().enumerate().map(|(i, (word, _))| (word, i + 2)).collect() }
    }

    /// Numbers in use, padding and unknown included.
    pub fn len(&self) -> usize {
        self.numbers.len() + 2
    }

    /// Whether no word is known.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// The first `length` words, filled up with [`PAD`].
    pub fn encode(&self, text: &str, length: usize) -> Vec<usize> {
        let number = |word: String| self.numbers.get(&word).copied().unwrap_or(UNKNOWN);
        words(text).map(number).chain(std::iter::repeat(PAD)).take(length).collect()
    }
}

/// Lower-case runs of letters and digits. The XXXX of de-identification says nothing and is left out.
fn words(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
    parts.map(str::to_lowercase).filter(|w| !w.chars().all(|c| c == 'x'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequent_words_get_numbers() {
        let vocabulary = Vocabulary::new(["The heart is normal.", "Heart enlarged; XXXX is not normal", "is"], 3);
        assert_eq!(vocabulary.len(), 5);
        assert_eq!(vocabulary.encode("IS the heart XXXX normal?", 6), [2, UNKNOWN, 3, 4, PAD, PAD]);
        assert_eq!(vocabulary.encode("is is is", 2), [2, 2]);
    }
}
