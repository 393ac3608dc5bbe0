//! BLEU of a corpus (Papineni et al. 2002), one reference a text, without smoothing.

use std::collections::HashMap;

/// Longest n-gram.
const MOST: usize = 4;

/// What one pair of texts adds to a corpus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// n-grams of the candidate that the reference has too, at most as often, n = 1 to 4.
    pub matches: [f64; MOST],
    /// n-grams of the candidate.
    pub total: [f64; MOST],
    /// Words of the candidate.
    pub candidate: f64,
    /// Words of the reference.
    pub reference: f64,
}

impl Counts {
    /// Of one pair.
    pub fn new(reference: &[String], candidate: &[String]) -> Self {
        let mut counts =
            Counts { candidate: candidate.len() as f64, reference: reference.len() as f64, ..Counts::default() };
        for n in 1..=MOST {
            let mut known: HashMap<&[String], usize> = HashMap::new();
            reference.windows(n).for_each(|gram| *known.entry(gram).or_default() += 1);
            for gram in candidate.windows(n) {
                counts.total[n - 1] += 1.0;
                if let Some(left) = known.get_mut(gram).filter(|left| **left > 0) {
                    *left -= 1;
                    counts.matches[n - 1] += 1.0;
                }
            }
        }
        counts
    }
}

/// BLEU-`n` of texts weighted by `weights`: the geometric mean of the precisions of 1- to n-grams times the brevity
/// penalty; None for no words at all.
pub fn bleu(texts: &[Counts], weights: &[f64], n: usize) -> Option<f64> {
    let sum = |value: &dyn Fn(&Counts) -> f64| texts.iter().zip(weights).map(|(c, w)| w * value(c)).sum::<f64>();
    let (candidate, reference) = (sum(&|c| c.candidate), sum(&|c| c.reference));
    if reference == 0.0 {
        return None;
    }
    if candidate == 0.0 {
        return Some(0.0);
    }
    let mut logs = 0.0;
    for i in 0..n.clamp(1, MOST) {
        let (matches, total) = (sum(&|c| c.matches[i]), sum(&|c| c.total[i]));
        if matches == 0.0 {
            return Some(0.0);
        }
        logs += (matches / total).ln() / n as f64;
    }
    let brevity = if candidate > reference { 0.0 } else { 1.0 - reference / candidate };
    Some((logs + brevity).exp())
}
