//! F1 over many labels.

/// Hits, false alarms and misses of each label over weighted texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Confusion {
    hits: Vec<f64>,
    alarms: Vec<f64>,
    misses: Vec<f64>,
}

impl Confusion {
    /// `truth` and `called` are [texts][labels].
    pub fn new(truth: &[Vec<bool>], called: &[Vec<bool>], weights: &[f64]) -> Self {
        let labels = truth.first().map_or(0, Vec::len);
        let none = || vec![0.0; labels];
        let mut sums = Confusion { hits: none(), alarms: none(), misses: none() };
        for ((truth, called), weight) in truth.iter().zip(called).zip(weights) {
            for (i, (truth, called)) in truth.iter().zip(called).enumerate() {
                match (truth, called) {
                    (true, true) => sums.hits[i] += weight,
                    (false, true) => sums.alarms[i] += weight,
                    (true, false) => sums.misses[i] += weight,
                    (false, false) => {}
                }
            }
        }
        sums
    }

    /// F1 of all decisions together; None when nothing is true or called.
    pub fn micro(&self) -> Option<f64> {
        f1(self.hits.iter().sum(), self.alarms.iter().sum(), self.misses.iter().sum())
    }

    /// Mean of the labels' F1; a label that is neither true nor called anywhere counts 0, as scikit-learn's
    /// `zero_division=0` has it. None without labels.
    pub fn macro_mean(&self) -> Option<f64> {
        let labels = self.hits.len();
        let each = (0..labels).map(|i| f1(self.hits[i], self.alarms[i], self.misses[i]).unwrap_or(0.0));
        (labels > 0).then(|| each.sum::<f64>() / labels as f64)
    }
}

fn f1(hits: f64, alarms: f64, misses: f64) -> Option<f64> {
    let all = 2.0 * hits + alarms + misses;
    (all > 0.0).then(|| 2.0 * hits / all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn micro_and_macro_are_scikit_learns() {
        // sklearn.metrics.f1_score([[1,0],[1,1],[0,0]], [[1,1],[0,1],[0,0]], average=...): micro 2/3, macro (2/3 + 2/3)/2
        let truth = [vec![true, false], vec![true, true], vec![false, false]];
        let called = [vec![true, true], vec![false, true], vec![false, false]];
        let sums = Confusion::new(&truth, &called, &[1.0; 3]);
        assert!((sums.micro().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert!((sums.macro_mean().unwrap() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(Confusion::new(&[vec![false]], &[vec![false]], &[1.0]).micro(), None);
    }
}
