//! What a report asserts: a rule-based labeller with negation and uncertainty, after the CheXpert labeller's idea
//! (Irvin et al. 2019): mentions by phrase, assertion by the words around them within a clause.

mod assertion;
mod mention;

use std::collections::BTreeMap;

pub use assertion::Assertion;
pub use mention::PHRASES;

use mention::mentions;

/// CheXpert's 14 labels, `no_finding` the last.
pub const CHEXPERT_14: [&str; 14] = [
    "enlarged_cardiomediastinum",
    "cardiomegaly",
    "lung_opacity",
    "lung_lesion",
    "edema",
    "consolidation",
    "pneumonia",
    "atelectasis",
    "pneumothorax",
    "pleural_effusion",
    "pleural_other",
    "fracture",
    "support_devices",
    "no_finding",
];

/// The five that CheXpert's competition counts.
pub const CHEXPERT_5: [&str; 5] = ["atelectasis", "cardiomegaly", "consolidation", "edema", "pleural_effusion"];

/// What each label implies beside itself: a nodule is a lesion, pneumonia an opacity.
const IMPLIED: [(&str, &str); 14] = [
    ("nodule", "lung_lesion"),
    ("mass", "lung_lesion"),
    ("consolidation", "lung_opacity"),
    ("pneumonia", "lung_opacity"),
    ("bacterial_pneumonia", "pneumonia"),
    ("viral_pneumonia", "pneumonia"),
    ("atelectasis", "lung_opacity"),
    ("edema", "lung_opacity"),
    ("infiltration", "lung_opacity"),
    ("airspace_disease", "lung_opacity"),
    ("lung_lesion", "lung_opacity"),
    ("pleural_thickening", "pleural_other"),
    ("bacterial_pneumonia", "lung_opacity"),
    ("viral_pneumonia", "lung_opacity"),
];

/// Devices do not make a film abnormal, nor do old scars and bones the lungs; `no_finding` looks at these labels only.
const UNREMARKABLE: [&str; 1] = ["support_devices"];

/// What one sentence says about the labels it mentions; of several mentions the strongest counts.
pub fn sentence(text: &str) -> BTreeMap<&'static str, Assertion> {
    let mut found: BTreeMap<&'static str, Assertion> = BTreeMap::new();
    for (label, assertion) in mentions(text) {
        let strongest = found.entry(label).or_insert(assertion);
        *strongest = (*strongest).max(assertion);
    }
    found
}

/// The labels that a whole report asserts or doubts, in order.
pub fn asserted(report: &str) -> Vec<&'static str> {
    label(report)
        .into_iter()
        .filter(|(_, assertion)| *assertion != Assertion::Negative)
        .map(|(label, _)| label)
        .collect()
}

/// What a whole report says. A label that any sentence asserts is asserted; implied labels are added for asserted and
/// uncertain ones; `no_finding` is positive when nothing but devices is asserted or uncertain.
pub fn label(report: &str) -> BTreeMap<&'static str, Assertion> {
    let mut found: BTreeMap<&'static str, Assertion> = BTreeMap::new();
    for part in sentences(report) {
        for (label, assertion) in sentence(part) {
            let strongest = found.entry(label).or_insert(assertion);
            *strongest = (*strongest).max(assertion);
        }
    }
    for (label, implied) in IMPLIED {
        if let Some(assertion) = found.get(label).copied().filter(|a| *a != Assertion::Negative) {
            let strongest = found.entry(implied).or_insert(assertion);
            *strongest = (*strongest).max(assertion);
        }
    }
    let abnormal = found.iter().any(|(label, a)| *a != Assertion::Negative && !UNREMARKABLE.contains(label));
    if !abnormal && !report.trim().is_empty() {
        found.insert("no_finding", Assertion::Positive);
    }
    found
}

/// The sentences of a report: at a full stop, question or exclamation mark before a space or the end, but not after a
/// number that counts points (`1. Effusion`) and not within one (`2.5 cm`); headings end with a colon and stay.
pub fn sentences(report: &str) -> Vec<&str> {
    let mut parts = vec![];
    let mut start = 0;
    for (i, c) in report.char_indices() {
        let end = i + c.len_utf8();
        let breaks = matches!(c, '.' | '?' | '!' | '\n')
            && report[end..].chars().next().is_none_or(char::is_whitespace)
            && !(c == '.' && is_count(&report[start..i]));
        if breaks {
            parts.push(report[start..end].trim());
            start = end;
        }
    }
    parts.push(report[start..].trim());
    parts.retain(|part| part.chars().any(char::is_alphanumeric));
    parts
}

/// Whether what stands before the full stop is nothing but the number of a point.
fn is_count(before: &str) -> bool {
    let word = before.trim_start();
    !word.is_empty() && word.len() <= 2 && word.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Assertion::{Negative, Positive, Uncertain};

    fn is(text: &str, wanted: &[(&str, Assertion)]) {
        let found = sentence(text);
        for (label, assertion) in wanted {
            assert_eq!(found.get(label), Some(assertion), "{label} in {text:?}: {found:?}");
        }
    }

    #[test]
    fn plain_mentions_are_positive() {
        is("There is a small left pleural effusion.", &[("pleural_effusion", Positive)]);
        is("The heart is enlarged.", &[("cardiomegaly", Positive)]);
        is("Mild cardiomegaly with bibasilar atelectasis.", &[("cardiomegaly", Positive), ("atelectasis", Positive)]);
        is("A right central venous catheter ends in the superior vena cava.", &[("support_devices", Positive)]);
        is("Patchy airspace opacity projects over the left lower zone.", &[("lung_opacity", Positive)]);
        is("Old healed right rib fractures.", &[("fracture", Positive)]);
        is("Blunting of the left costophrenic angle.", &[("pleural_effusion", Uncertain)]);
    }

    #[test]
    fn negation_reaches_over_lists_to_the_end_of_the_clause() {
        is(
            "No focal consolidation, pleural effusion, or pneumothorax.",
            &[("consolidation", Negative), ("pleural_effusion", Negative), ("pneumothorax", Negative)],
        );
        is("The lungs are clear without evidence of infiltrate.", &[("infiltration", Negative)]);
        is(
            "No pneumothorax but there is a small effusion.",
            &[("pneumothorax", Negative), ("pleural_effusion", Positive)],
        );
        is("Negative for pneumonia.", &[("pneumonia", Negative)]);
        is("Pneumothorax is not seen.", &[("pneumothorax", Negative)]);
        is("The effusion has resolved.", &[("pleural_effusion", Negative)]);
        is("The effusion has not resolved.", &[("pleural_effusion", Positive)]);
        is("Cardiomegaly without edema.", &[("cardiomegaly", Positive), ("edema", Negative)]);
    }

    #[test]
    fn normal_organs_deny_their_diseases() {
        is("The heart is normal in size.", &[("cardiomegaly", Negative)]);
        is("Heart size is within normal limits.", &[("cardiomegaly", Negative)]);
        is("The cardiomediastinal silhouette is unremarkable.", &[("enlarged_cardiomediastinum", Negative)]);
        is("The lungs are clear.", &[("lung_opacity", Negative), ("consolidation", Negative)]);
        is("The costophrenic angles are sharp.", &[("pleural_effusion", Negative)]);
        is("The heart is not enlarged.", &[("cardiomegaly", Negative)]);
        is("The bony thorax is intact.", &[("fracture", Negative)]);
    }

    #[test]
    fn doubt_is_uncertain() {
        is(
            "Opacity at the right base may represent pneumonia.",
            &[("lung_opacity", Positive), ("pneumonia", Uncertain)],
        );
        is("Possible small right effusion.", &[("pleural_effusion", Uncertain)]);
        is("Pneumonia cannot be excluded.", &[("pneumonia", Uncertain)]);
        is("Findings suspicious for a mass.", &[("mass", Uncertain)]);
        is("Atelectasis versus consolidation at the base.", &[("consolidation", Uncertain)]);
        is("No definite pneumothorax.", &[("pneumothorax", Negative)]);
    }

    #[test]
    fn a_report_is_its_sentences_together() {
        let found = label("FINDINGS: The heart is normal in size. 1. Small nodule of 2.5 mm. No effusion.");
        assert_eq!(found.get("nodule"), Some(&Positive));
        assert_eq!(found.get("lung_lesion"), Some(&Positive), "implied");
        assert_eq!(found.get("no_finding"), None);
        let normal = label("The lungs are clear. Heart size is normal. A pacemaker is present.");
        assert_eq!((normal.get("no_finding"), normal.get("support_devices")), (Some(&Positive), Some(&Positive)));
        assert!(label("").is_empty());
    }

    #[test]
    fn numbers_do_not_end_sentences() {
        let parts = sentences("1. A nodule of 2.5 cm. 2. No effusion");
        assert_eq!(parts, ["1. A nodule of 2.5 cm.", "2. No effusion"]);
    }
}
