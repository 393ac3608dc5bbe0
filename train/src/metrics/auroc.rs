//! Area under the receiver operating characteristic.

use super::Ranking;

/// AUROC with ties at mid-rank; None unless both classes are there.
pub fn auroc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    weighted(&Ranking::new(scores, positive), &vec![1.0; scores.len()])
}

/// AUROC of weighted rows; None unless both classes have weight.
pub fn weighted(ranking: &Ranking, weights: &[f64]) -> Option<f64> {
    let (positives, negatives) = ranking.totals(weights);
    if positives <= 0.0 || negatives <= 0.0 {
        return None;
    }
    let (mut above, mut area) = (0.0, 0.0);
    ranking.groups(weights, |p, n| {
        area += n * (above + 0.5 * p);
        above += p;
    });
    Some(area / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_count_half() {
        assert_eq!(auroc(&[0.5, 0.5], &[true, false]), Some(0.5));
        assert_eq!(auroc(&[0.9, 0.5, 0.5, 0.1], &[true, true, false, false]), Some(0.875));
        assert_eq!(auroc(&[0.1, 0.9], &[true, false]), Some(0.0));
    }

    #[test]
    fn one_class_has_no_area() {
        assert_eq!(auroc(&[0.1, 0.2], &[true, true]), None);
        assert_eq!(auroc(&[], &[]), None);
    }

    #[test]
    fn a_weight_is_a_repetition() {
        let (scores, positive) = ([0.9, 0.4, 0.6, 0.1], [true, true, false, false]);
        let repeated = auroc(&[0.9, 0.4, 0.4, 0.6, 0.1, 0.1, 0.1], &[true, true, true, false, false, false, false]);
        let weights = weighted(&Ranking::new(&scores, &positive), &[1.0, 2.0, 1.0, 3.0]);
        assert!((weights.unwrap() - repeated.unwrap()).abs() < 1e-15);
    }
}
