//! A text held against the calibrated probes: what it asserts that they deny, what it denies that they assert, and what
//! they assert that it leaves out.

use std::collections::BTreeSet;

use super::labeller::{Assertion, label};
use crate::probe::FindingResult;

/// A statement that a probe contradicts.
#[derive(Clone, Debug, PartialEq)]
pub struct Contradiction {
    /// The probe's label.
    pub label: String,
    /// What the text says of it.
    pub assertion: Assertion,
    /// The probe's calibrated probability.
    pub probability: f64,
    /// Its threshold.
    pub threshold: f64,
}

/// Labels that mean the same finding for this check: what a text says of one counts for the others. Pneumonia by its
/// cause is pneumonia; an asserted cause needs its own probe.
const DENIED_WITH: [(&str, &str); 2] = [("pneumonia", "bacterial_pneumonia"), ("pneumonia", "viral_pneumonia")];

/// What `sentence` says and the probes contradict. A finding that no probe knows is not checked. A doubt ("possible") is
/// contradicted like an assertion where the probe is below half its threshold only.
pub fn contradictions(sentence: &str, findings: &[FindingResult]) -> Vec<Contradiction> {
    let mut said = label(sentence);
    for (general, special) in DENIED_WITH {
        if said.get(general) == Some(&Assertion::Negative) {
            said.entry(special).or_insert(Assertion::Negative);
        }
    }
    let mut found = vec![];
    for finding in findings {
        let Some(assertion) = said.get(finding.label.as_str()).copied() else { continue };
        let contradicted = match assertion {
            Assertion::Positive => !finding.positive,
            Assertion::Uncertain => finding.probability < finding.threshold / 2.0,
            Assertion::Negative => finding.positive,
        };
        if contradicted {
            let (label, probability, threshold) = (finding.label.clone(), finding.probability, finding.threshold);
            found.push(Contradiction { label, assertion, probability, threshold });
        }
    }
    found
}

/// Labels the probes call positive of which `text` says nothing; a cause that is not named counts as said with pneumonia.
pub fn omissions(text: &str, findings: &[FindingResult]) -> Vec<String> {
    let said: BTreeSet<&str> = label(text).into_keys().collect();
    let silent = |finding: &&FindingResult| {
        let special = DENIED_WITH.iter().find(|(_, special)| *special == finding.label);
        finding.positive
            && !said.contains(finding.label.as_str())
            && special.is_none_or(|(general, _)| !said.contains(general))
    };
    findings.iter().filter(silent).map(|finding| finding.label.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<FindingResult> {
        let finding = |label: &str, probability| FindingResult {
            label: label.into(),
            probability,
            threshold: 0.4,
            positive: probability >= 0.4,
        };
        vec![finding("pneumonia", 0.9), finding("viral_pneumonia", 0.7), finding("pleural_effusion", 0.3)]
    }

    #[test]
    fn assertions_and_denials_are_held_against_the_probes() {
        let labels = |text: &str| contradictions(text, &findings()).into_iter().map(|c| c.label).collect::<Vec<_>>();
        assert_eq!(labels("There is a pleural effusion."), ["pleural_effusion"]);
        assert_eq!(labels("No pleural effusion."), Vec::<String>::new());
        assert_eq!(labels("Possible pleural effusion."), Vec::<String>::new(), "0.3 is doubt enough");
        assert_eq!(labels("No evidence of pneumonia."), ["pneumonia", "viral_pneumonia"]);
        assert_eq!(labels("The lungs are clear."), ["pneumonia", "viral_pneumonia"]);
        assert_eq!(labels("There is a hiatal hernia."), Vec::<String>::new(), "no probe knows");
    }

    #[test]
    fn what_is_left_out_is_named() {
        assert_eq!(omissions("No pleural effusion.", &findings()), ["pneumonia", "viral_pneumonia"]);
        assert_eq!(omissions("There is pneumonia.", &findings()), Vec::<String>::new());
    }
}
