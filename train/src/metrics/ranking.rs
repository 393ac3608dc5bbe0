//! Scores sorted once, so that a metric of the ranking costs one pass per set of row weights.

/// Rows in order of falling score, cut into groups of equal score.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Row of each rank, highest score first.
    order: Vec<u32>,
    /// Ranks at which a group of equal scores ends (exclusive).
    ends: Vec<u32>,
    positive: Vec<bool>,
}

impl Ranking {
    /// Ranks `scores` [n] of rows of which `positive` [n] says the truth. NaN ranks above every number.
    pub fn new(scores: &[f64], positive: &[bool]) -> Self {
        let n = scores.len().min(positive.len());
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
        let ends = (1..=n).filter(|&i| i == n || scores[order[i] as usize] != scores[order[i - 1] as usize]);
        let ends = ends.map(|i| i as u32).collect();
        Ranking { order, ends, positive: positive[..n].to_vec() }
    }

    /// Calls `visit(positives, negatives)`, sums of row weights, for each group of equal scores, highest first.
    pub fn groups(&self, weights: &[f64], mut visit: impl FnMut(f64, f64)) {
        let mut start = 0;
        for &end in &self.ends {
            let (mut positives, mut negatives) = (0.0, 0.0);
            for &row in &self.order[start as usize..end as usize] {
                match self.positive[row as usize] {
                    true => positives += weights[row as usize],
                    false => negatives += weights[row as usize],
                }
            }
            visit(positives, negatives);
            start = end;
        }
    }

    /// Sums of the weights of positive and of negative rows.
    pub fn totals(&self, weights: &[f64]) -> (f64, f64) {
        let mut totals = (0.0, 0.0);
        for (positive, weight) in self.positive.iter().zip(weights) {
            match positive {
                true => totals.0 += weight,
                false => totals.1 += weight,
            }
        }
        totals
    }
}
