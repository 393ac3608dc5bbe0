//! From logit to probability and from probability to decision.

use rad_dino_edge::model::manifest::Calibration;

use super::Ranking;

/// Bins of the expected calibration error.
pub const BINS: usize = 10;
const ITERATIONS: usize = 100;

/// Platt scaling: minimises the weighted cross-entropy of sigmoid(scale · logit + offset) plus `ridge`/2 · scale².
/// The targets are Platt's, (N₊ + 1)/(N₊ + 2) and 1/(N₋ + 2), so that separable data stay finite.
/// `weights` [n] have mean 1; N₊ and N₋ are their sums.
pub fn platt(logits: &[f64], positive: &[bool], weights: &[f64], ridge: f64) -> Calibration {
    let sum = |which: bool| positive.iter().zip(weights).filter(|(p, _)| **p == which).map(|(_, w)| w).sum::<f64>();
    let (positives, negatives) = (sum(true), sum(false));
    let (high, low) = ((positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0));
    let target = |p: &bool| if *p { high } else { low };
    let loss = |scale: f64, offset: f64| {
        let rows = logits.iter().zip(positive).zip(weights);
        let cross_entropy: f64 = rows
            .map(|((x, p), w)| {
                let z = scale * x + offset;
                w * (softplus(z) - target(p) * z)
            })
            .sum();
        cross_entropy + 0.5 * ridge * scale * scale
    };
    let (mut scale, mut offset) = (0.0, ((positives + 1.0) / (negatives + 1.0)).ln());
    let mut best = loss(scale, offset);
    for _ in 0..ITERATIONS {
        let (mut g0, mut g1, mut h00, mut h01, mut h11) = (ridge * scale, 0.0, ridge + 1e-12, 0.0, 1e-12);
        for ((x, p), w) in logits.iter().zip(positive).zip(weights) {
            let probability = sigmoid(scale * x + offset);
            let (error, curvature) = (w * (probability - target(p)), w * probability * (1.0 - probability));
            g0 += error * x;
            g1 += error;
            h00 += curvature * x * x;
            h01 += curvature * x;
            h11 += curvature;
        }
        let determinant = h00 * h11 - h01 * h01;
        if g0.abs().max(g1.abs()) < 1e-9 || determinant <= 0.0 {
            break;
        }
        let (d0, d1) = ((h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant);
        let mut step = 1.0;
        let improved = loop {
            let next = loss(scale - step * d0, offset - step * d1);
            if next < best {
                best = next;
                break true;
            }
            step *= 0.5;
            if step < 1e-10 {
                break false;
            }
        };
        if !improved {
            break;
        }
        scale -= step * d0;
        offset -= step * d1;
    }
    Calibration { scale, offset }
}

/// 1 / (1 + e⁻ᶻ).
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

/// ln(1 + eᶻ) without overflow.
pub fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// One bin of a reliability diagram.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Weight of the rows in it.
    pub weight: f64,
    /// Weight of the positive ones.
    pub hits: f64,
    /// Σ weight · probability.
    pub confidence: f64,
}

/// The rows in [`BINS`] equal bins of probability.
pub fn reliability(probabilities: &[f64], positive: &[bool], weights: &[f64]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for ((probability, positive), weight) in probabilities.iter().zip(positive).zip(weights) {
        let bin = &mut bins[((probability * BINS as f64) as usize).min(BINS - 1)];
        bin.hits += weight * f64::from(u8::from(*positive));
        bin.confidence += weight * probability;
        bin.weight += weight;
    }
    bins
}

/// Expected calibration error: mean over rows of |share of positives − mean probability| of the row's bin, in
/// [`BINS`] equal bins of probability. None without rows.
pub fn expected_calibration_error(probabilities: &[f64], positive: &[bool], weights: &[f64]) -> Option<f64> {
    let bins = reliability(probabilities, positive, weights);
    let total: f64 = bins.iter().map(|bin| bin.weight).sum();
    (total > 0.0).then(|| bins.iter().map(|bin| (bin.hits - bin.confidence).abs()).sum::<f64>() / total)
}

/// The threshold rule: the probability cut that maximises Youden's J = sensitivity + specificity − 1 (of weighted
/// rows), ties to the higher cut; it lies half-way between the lowest probability called positive and the next below.
/// 0.5 unless both classes are there.
pub fn youden_threshold(probabilities: &[f64], positive: &[bool], weights: &[f64]) -> f64 {
    let ranking = Ranking::new(probabilities, positive);
    let (positives, negatives) = ranking.totals(weights);
    if positives <= 0.0 || negatives <= 0.0 {
        return 0.5;
    }
    let mut distinct: Vec<f64> = probabilities.to_vec();
    distinct.sort_by(|a, b| b.total_cmp(a));
    distinct.dedup();
    let (mut hits, mut alarms, mut group) = (0.0, 0.0, 0);
    let (mut best, mut threshold) = (f64::NEG_INFINITY, 0.5);
    ranking.groups(weights, |p, n| {
        hits += p;
        alarms += n;
        let youden = hits / positives - alarms / negatives;
        if youden > best + 1e-12 {
            best = youden;
            let below = distinct.get(group + 1).copied().unwrap_or(0.0);
            threshold = 0.5 * (distinct[group] + below);
        }
        group += 1;
    });
    threshold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn platt_recovers_the_scale_of_a_logistic_model() {
        let mut random = Random::new(5);
        let logits: Vec<f64> = (0..20_000).map(|_| 2.0 * random.normal()).collect();
        let positive: Vec<bool> = logits.iter().map(|x| random.chance(sigmoid(0.5 * x - 1.0))).collect();
        let fit = platt(&logits, &positive, &vec![1.0; logits.len()], 0.0);
        assert!((fit.scale - 0.5).abs() < 0.03 && (fit.offset + 1.0).abs() < 0.05, "{fit:?}");
        let probabilities: Vec<f64> = logits.iter().map(|x| fit.probability(*x)).collect();
        let error = expected_calibration_error(&probabilities, &positive, &vec![1.0; logits.len()]).unwrap();
        assert!(error < 0.015, "{error}");
    }

    #[test]
    fn platt_stays_finite_on_separable_rows() {
        let fit = platt(&[-3.0, -1.0, 1.0, 3.0], &[false, false, true, true], &[1.0; 4], 0.0);
        assert!(fit.scale.is_finite() && fit.scale > 0.1 && fit.scale < 5.0, "{fit:?}");
    }

    #[test]
    fn threshold_takes_the_higher_of_equal_cuts() {
        // Cuts at 0.9 (J = ½) and at 0.6 (J = ½): the higher one wins, half-way to its lower neighbour.
        let threshold = youden_threshold(&[0.9, 0.8, 0.6, 0.1], &[true, false, true, false], &[1.0; 4]);
        assert!((threshold - 0.85).abs() < 1e-12, "{threshold}");
        assert_eq!(youden_threshold(&[0.2], &[true], &[1.0]), 0.5);
    }

    #[test]
    fn calibration_error_of_a_constant() {
        assert_eq!(expected_calibration_error(&[0.75; 4], &[true, false, false, false], &[1.0; 4]), Some(0.5));
        assert_eq!(expected_calibration_error(&[], &[], &[]), None);
    }
}
