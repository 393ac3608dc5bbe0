//! Logits to findings and attributes.

use serde::Serialize;

use crate::model::manifest::Heads;

/// One finding of one scan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FindingResult {
    /// The manifest's word.
    pub label: String,
    /// Calibrated probability.
    pub probability: f64,
    /// From the manifest.
    pub threshold: f64,
    /// probability ≥ threshold
    pub positive: bool,
}

/// What is estimated beside findings; absent heads are absent here.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Attributes {
    /// Estimated sex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sex: Option<Sex>,
    /// Estimated age, years.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_years: Option<f64>,
    /// Estimated projection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
}

/// Probability of female.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sex {
    /// In [0, 1].
    pub female: f64,
}

/// The most probable projection.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// `PA`, `AP`, …
    pub label: String,
    /// Its probability.
    pub probability: f64,
}

/// Six decimals: more is noise, and what is printed is what is compared.
fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

/// Findings of one scan from its `findings_logits` [F].
pub fn findings(heads: &Heads, logits: &[f32]) -> Vec<FindingResult> {
    let results = heads.findings.iter().zip(logits).map(|(finding, logit)| {
        let probability = rounded(finding.calibration.probability(f64::from(*logit)));
        let threshold = rounded(finding.threshold);
        FindingResult { label: finding.label.clone(), probability, threshold, positive: probability >= threshold }
    });
    results.collect()
}

/// Attributes of one scan from `sex_logits` [1], `age_years` [1] and `view_logits` [V].
pub fn attributes(heads: &Heads, sex: Option<&[f32]>, age: Option<&[f32]>, view: Option<&[f32]>) -> Attributes {
    let sex = heads
        .sex
        .zip(sex.and_then(<[f32]>::first))
        .map(|(calibration, logit)| Sex { female: rounded(calibration.probability(f64::from(*logit))) });
    // Ages outside a human life are the linear head's extrapolation, not an estimate.
    let age_years =
        age.and_then(<[f32]>::first).filter(|_| heads.age).map(|age| rounded(f64::from(*age).clamp(0.0, 110.0)));
    let view = view.filter(|_| !heads.view.is_empty()).and_then(|logits| {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = logits.iter().map(|l| f64::from(l - largest).exp()).sum();
        let best = logits.iter().position(|l| *l == largest)?;
        Some(View { label: heads.view.get(best)?.clone(), probability: rounded(1.0 / sum) })
    });
    Attributes { sex, age_years, view }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::{Calibration, Finding};

    #[test]
    fn probability_at_the_threshold_is_positive() {
        let calibration = Calibration { scale: 1.0, offset: 0.0 };
        let heads = Heads {
            findings: vec![Finding { label: "nodule".into(), threshold: 0.5, calibration }],
            ..Heads::default()
        };
        assert!(findings(&heads, &[0.0])[0].positive);
        assert!(!findings(&heads, &[-0.1])[0].positive);
    }

    #[test]
    fn only_trained_heads_appear() {
        let heads = Heads { view: vec!["PA".into(), "AP".into()], ..Heads::default() };
        let found = attributes(&heads, Some(&[1.0]), Some(&[50.0]), Some(&[0.0, 1.0]));
        assert_eq!(found.sex, None);
        assert_eq!(found.age_years, None);
        assert_eq!(found.view.map(|v| v.label), Some("AP".into()));
    }
}
