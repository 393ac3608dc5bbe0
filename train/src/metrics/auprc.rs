//! Area under the precision-recall curve, as average precision: Σ (Rₖ − Rₖ₋₁) Pₖ over distinct scores.

use super::Ranking;

/// Average precision; None unless both classes are there.
pub fn auprc(scores: &[f64], positive: &[bool]) -> Option<f64> {
    weighted(&Ranking::new(scores, positive), &vec![1.0; scores.len()])
}

/// Average precision of weighted rows; None unless both classes have weight.
pub fn weighted(ranking: &Ranking, weights: &[f64]) -> Option<f64> {
    let (positives, negatives) = ranking.totals(weights);
    if positives <= 0.0 || negatives <= 0.0 {
        return None;
    }
    let (mut hits, mut called, mut area) = (0.0, 0.0, 0.0);
    ranking.groups(weights, |p, n| {
        hits += p;
        called += p + n;
        if p > 0.0 {
            area += p / positives * hits / called;
        }
    });
    Some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_curves() {
        assert_eq!(auprc(&[0.9, 0.8, 0.1], &[true, true, false]), Some(1.0));
        // Hits at ranks 1 and 3: ½·1 + ½·⅔.
        let value = auprc(&[0.9, 0.8, 0.7], &[true, false, true]).unwrap();
        assert!((value - (0.5 + 1.0 / 3.0)).abs() < 1e-15);
        // All scores equal: precision is the prevalence.
        assert_eq!(auprc(&[0.5; 4], &[true, false, false, false]), Some(0.25));
        assert_eq!(auprc(&[0.5], &[true]), None);
    }
}
