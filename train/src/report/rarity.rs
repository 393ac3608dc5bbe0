//! How often a report is drawn: a decoder that only ever sees one enlarged heart in ten writes none.

use std::collections::BTreeMap;

use rad_dino_edge::report::labeller::asserted;

use super::Config;
use super::corpus::{Corpus, Example, Text};
use crate::data::Dataset;
use crate::random::repeated;
use crate::supervised::batch::balanced;

/// A report is drawn at most so many times an epoch.
const MOST: f64 = 8.0;
const SALT: u64 = 0x7261_7265;

/// How many train reports assert or doubt each label, `no_finding` among them.
#[derive(Clone, Debug)]
pub struct Rarity {
    counts: BTreeMap<&'static str, usize>,
    power: f64,
}

impl Rarity {
    /// Of the train reports `texts`.
    pub fn of<'a>(texts: impl Iterator<Item = &'a str>, power: f64) -> Self {
        let mut counts = BTreeMap::new();
        if power > 0.0 {
            texts.flat_map(asserted).for_each(|label| *counts.entry(label).or_default() += 1);
        }
        Rarity { counts, power }
    }

    /// How often `text` is drawn: (most frequent label / own rarest label)^power times, at most 8. 1 at power 0 and for
    /// texts without labels; a label that train never asserts counts as asserted once.
    pub fn repeats(&self, text: &str) -> f64 {
        if self.counts.is_empty() {
            return 1.0;
        }
        let most = self.counts.values().copied().max().unwrap_or(1) as f64;
        let count = |label| self.counts.get(label).copied().unwrap_or(1);
        let rarest = asserted(text).into_iter().map(count).min();
        rarest.map_or(1.0, |n| (most / n as f64).powf(self.power).min(MOST))
    }
}

/// Positions in the train and the val reports of `corpus` as an epoch and a look draw them: reports of rarer findings come
/// several times, and in train those of smaller sources too.
pub fn orders(dataset: &Dataset, corpus: &Corpus, texts: &[Text], config: &Config) -> (Vec<usize>, Vec<usize>) {
    let text = |example: &Example| texts[example.text].text.as_str();
    let rarity = Rarity::of(corpus.train.iter().map(text), config.rarity);
    let repeats = |examples: &[Example]| -> Vec<f64> { examples.iter().map(|e| rarity.repeats(text(e))).collect() };
    let (train, val) = (repeats(&corpus.train), repeats(&corpus.val));
    let films: Vec<usize> = corpus.train.iter().map(|example| example.film).collect();
    let place: BTreeMap<usize, usize> = films.iter().enumerate().map(|(i, film)| (*film, i)).collect();
    let by_source: Vec<usize> =
        balanced(dataset, &films, config.balance).iter().filter_map(|film| place.get(film).copied()).collect();
    let all: Vec<usize> = (0..val.len()).collect();
    (repeated(&by_source, |i| train[i], SALT), repeated(&all, |i| val[i], SALT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_findings_come_more_often_and_plain_reports_once() {
        const CLEAR: &str = "The lungs are clear. No effusion.";
        const LARGE: &str = "The heart is enlarged.";
        let train = || std::iter::repeat_n(CLEAR, 16).chain([LARGE]);
        let even = Rarity::of(train(), 0.0);
        assert_eq!((even.repeats(CLEAR), even.repeats(LARGE)), (1.0, 1.0));
        let some = Rarity::of(train(), 0.5);
        assert_eq!((some.repeats(CLEAR), some.repeats(LARGE)), (1.0, 4.0));
        assert_eq!(some.repeats("There is a pneumothorax."), 4.0, "unseen in train");
        assert_eq!(Rarity::of(train(), 1.0).repeats(LARGE), MOST);
        let texts: Vec<&str> = train().collect();
        let all: Vec<usize> = (0..17).collect();
        let drawn = repeated(&all, |i| some.repeats(texts[i]), SALT);
        assert_eq!((drawn.iter().filter(|p| **p == 16).count(), drawn.len()), (4, 20));
        assert_eq!(repeated(&all, |_| 1.0, SALT), all);
    }
}
