//! How often a report is drawn: a decoder that only ever sees one enlarged heart in ten writes none.

use std::collections::BTreeMap;

use rad_dino_edge::report::labeller::{Assertion, label};

use crate::random::mix;

/// A report is drawn at most so many times an epoch.
const MOST: f64 = 8.0;

/// How often each of `texts` is drawn: (most frequent label / own rarest label)^rarity times, at most 8; the labels are
/// those it asserts or doubts, `no_finding` among them. 1 for all at `rarity` 0 and for texts without labels.
pub fn repeats(texts: &[&str], rarity: f64) -> Vec<f64> {
    let labels: Vec<Vec<&str>> = texts.iter().map(|text| asserted(text)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    labels.iter().flatten().for_each(|label| *counts.entry(label).or_default() += 1);
    let most = counts.values().copied().max().unwrap_or(1) as f64;
    let of = |own: &Vec<&str>| {
        let rarest = own.iter().filter_map(|label| counts.get(label)).min();
        rarest.map_or(1.0, |n| (most / *n as f64).powf(rarity).min(MOST))
    };
    labels.iter().map(of).collect()
}

/// `order` with position p `repeats[p]` times, the fraction as one more for some.
pub fn repeated(order: &[usize], repeats: &[f64]) -> Vec<usize> {
    let times = |(i, p): (usize, &usize)| {
        let times = repeats.get(*p).copied().unwrap_or(1.0);
        let one_more = (mix(i as u64 ^ 0x7261_7265) as f64 / u64::MAX as f64) < times.fract();
        std::iter::repeat_n(*p, times as usize + usize::from(one_more))
    };
    order.iter().enumerate().flat_map(times).collect()
}

fn asserted(text: &str) -> Vec<&'static str> {
    label(text).into_iter().filter(|(_, assertion)| *assertion != Assertion::Negative).map(|(label, _)| label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_findings_come_more_often_and_plain_reports_once() {
        let mut texts = vec!["The lungs are clear. No effusion."; 16];
        texts.push("The heart is enlarged.");
        let even = repeats(&texts, 0.0);
        assert!(even.iter().all(|r| *r == 1.0));
        let some = repeats(&texts, 0.5);
        assert_eq!((some[0], some[16]), (1.0, 4.0));
        assert_eq!(repeats(&texts, 1.0)[16], MOST);
        let order: Vec<usize> = (0..17).collect();
        let drawn = repeated(&order, &some);
        assert_eq!((drawn.iter().filter(|p| **p == 16).count(), drawn.len()), (4, 20));
        assert_eq!(repeated(&order, &even), order);
    }
}
