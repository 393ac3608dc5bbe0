//! Whether a mention is asserted, doubted or denied, by the words of its clause.

use serde::Serialize;

/// From the weakest to the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Assertion {
    /// Denied.
    Negative,
    /// Doubted.
    Uncertain,
    /// Asserted.
    Positive,
}

/// Before a mention in the same clause, these deny it.
const DENY_BEFORE: &[&str] = &[
    "no",
    "without",
    "negative for",
    "free of",
    "absence of",
    "absent",
    "not have",
    "does not show",
    "not demonstrate",
    "no evidence of",
    "not see",
    "neither",
    "nor",
    "resolution of",
    "clear of",
    "exclude",
    "excludes",
    "rules out",
    "not",
];
/// After it, these deny it.
const DENY_AFTER: &[&str] = &[
    "is not seen",
    "are not seen",
    "not identified",
    "not visualized",
    "not appreciated",
    "not present",
    "not evident",
    "is absent",
    "are absent",
    "has resolved",
    "have resolved",
    "is excluded",
    "not demonstrated",
    "not detected",
    "is ruled out",
    "not noted",
    "resolved",
];
/// What looks like a denial and is none.
const NO_DENIAL: &[&str] = &[
    "not resolved",
    "no change",
    "no significant change",
    "no interval change",
    "not excluded",
    "no longer",
    "not only",
    "cannot be excluded",
    "can not be excluded",
    "not exclude",
    "cannot exclude",
    "not significantly changed",
    "not changed",
    "no increase",
    "no decrease",
];
/// Before a mention in the same clause, these doubt it.
const DOUBT_BEFORE: &[&str] = &[
    "possible",
    "possibly",
    "probable",
    "probably",
    "may",
    "might",
    "could",
    "suspicious for",
    "suspected",
    "suggest",
    "suggests",
    "suggesting",
    "suggestive of",
    "questionable",
    "question of",
    "concerning for",
    "concern for",
    "likely",
    "cannot exclude",
    "not exclude",
    "cannot rule out",
    "versus",
    "vs",
    "differential",
    "equivocal",
    "consider",
    "worrisome for",
    "compatible with possible",
    "if clinically",
];
/// After it, these doubt it.
const DOUBT_AFTER: &[&str] = &[
    "cannot be excluded",
    "can not be excluded",
    "not excluded",
    "is possible",
    "is suspected",
    "is questioned",
    "is not entirely excluded",
    "versus",
    "vs",
    "may be present",
    "is likely",
];

/// The assertion of a mention between the words `before` and `after` of its clause, each joined by single spaces.
pub(super) fn assertion(before: &str, after: &str) -> Assertion {
    let before = masked(before);
    if any(after, DOUBT_AFTER) || any(&before.1, &["cannot exclude", "not exclude", "cannot rule out"]) {
        return Assertion::Uncertain;
    }
    let after = masked(after);
    if any(&before.0, DENY_BEFORE) || any(&after.0, DENY_AFTER) {
        return Assertion::Negative;
    }
    if any(&before.0, DOUBT_BEFORE) {
        return Assertion::Uncertain;
    }
    Assertion::Positive
}

/// The text without what looks like a denial, and as it was.
fn masked(text: &str) -> (String, String) {
    let mut rest = format!(" {text} ");
    let whole = rest.clone();
    for phrase in NO_DENIAL {
        rest = rest.replace(&format!(" {phrase} "), " ");
    }
    (rest, whole)
}

fn any(text: &str, phrases: &[&str]) -> bool {
    let text = format!(" {text} ");
    phrases.iter().any(|phrase| text.contains(&format!(" {phrase} ")))
}
