//! Fixed sentences over the calibrated probes: says what the probes say, and nothing else.

use super::Report;
use crate::probe::{Attributes, FindingResult};

/// One sentence a positive finding, one for all negative ones, one for the estimates.
pub fn template(findings: &[FindingResult], attributes: &Attributes) -> Report {
    let mut sentences = vec![];
    let words = |label: &str| label.replace('_', " ");
    for finding in findings.iter().filter(|f| f.positive) {
        sentences.push(format!(
            "Findings suggestive of {} (probability {:.2}, threshold {:.2}).",
            words(&finding.label),
            finding.probability,
            finding.threshold
        ));
    }
    let negative: Vec<_> = findings.iter().filter(|f| !f.positive).map(|f| words(&f.label)).collect();
    if !negative.is_empty() {
        sentences.push(format!("Below threshold: {}.", negative.join(", ")));
    }
    let mut estimates = vec![];
    if let Some(view) = &attributes.view {
        estimates.push(format!("{} projection", view.label));
    }
    if let Some(age) = attributes.age_years {
        estimates.push(format!("age about {age:.0} years"));
    }
    if let Some(sex) = &attributes.sex {
        estimates.push(format!("{} sex", if sex.female >= 0.5 { "female" } else { "male" }));
    }
    if !estimates.is_empty() {
        sentences.push(format!("Estimated from the image: {}.", estimates.join(", ")));
    }
    Report { text: sentences.join(" "), source: "template", sentences: vec![] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_each_positive_finding_and_lists_the_rest() {
        let finding = |label: &str, probability| FindingResult {
            label: label.into(),
            probability,
            threshold: 0.5,
            positive: probability >= 0.5,
        };
        let findings = [finding("pleural_effusion", 0.9), finding("edema", 0.1), finding("mass", 0.2)];
        let report = template(&findings, &Attributes::default());
        assert!(report.text.starts_with("Findings suggestive of pleural effusion (probability 0.90"));
        assert!(report.text.ends_with("Below threshold: edema, mass."));
    }
}
