//! Reports without what no image can teach: marks of de-identification, view and comparison sentences.

use std::collections::BTreeMap;

use rad_dino_edge::report::labeller::{sentence, sentences};
use serde::{Deserialize, Serialize};

/// Which part of a report is learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// FINDINGS; IMPRESSION where there are none.
    #[default]
    Findings,
    /// IMPRESSION; FINDINGS where there is none.
    Impression,
    /// Both, without headings.
    All,
}

/// What is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cleaning {
    /// Words like XXXX.
    pub marks: bool,
    /// Sentences about the projection that assert nothing else.
    pub views: bool,
    /// Sentences about earlier films that assert nothing else; of others the words of change.
    pub comparisons: bool,
    /// Which part stays.
    pub section: Section,
}

impl Default for Cleaning {
    fn default() -> Self {
        Cleaning { marks: true, views: true, comparisons: true, section: Section::Findings }
    }
}

/// How often what was removed, so that it can be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Marks of de-identification.
    pub marks: usize,
    /// View sentences and their counts.
    pub views: BTreeMap<String, usize>,
    /// Comparison sentences and their counts.
    pub comparisons: BTreeMap<String, usize>,
    /// Reports that had nothing left.
    pub empty: usize,
}

const VIEWS: [&str; 14] = [
    "pa and lateral",
    "ap and lateral",
    "frontal and lateral",
    "pa view",
    "ap view",
    "frontal view",
    "lateral view",
    "single view",
    "two views",
    "views of the chest",
    "view of the chest",
    "portable",
    "radiograph of the chest",
    "single frontal",
];
const COMPARISONS: [&str; 13] = [
    "comparison",
    "compared",
    "prior",
    "previous",
    "previously",
    "interval",
    "unchanged",
    "stable",
    "since",
    "again",
    "change",
    "earlier",
    "remain",
];
/// Words of change that are dropped where the sentence stays.
const CHANGE: [&str; 6] = ["stable", "unchanged", "again", "interval", "previously", "new"];

impl Cleaning {
    /// Nothing but whitespace is touched and no section chosen.
    pub const NONE: Cleaning = Cleaning { marks: false, views: false, comparisons: false, section: Section::All };

    /// The cleaned text, perhaps empty; what went is added to `removed`.
    pub fn clean(&self, report: &str, removed: &mut Removed) -> String {
        let body = self.section.of(report);
        let mut kept = vec![];
        for part in sentences(&body) {
            let part = without_number(part);
            let padded = format!(" {} ", part.to_lowercase().replace(|c: char| !c.is_alphanumeric(), " "));
            let has = |phrases: &[&str]| phrases.iter().any(|phrase| padded.contains(&format!(" {phrase} ")));
            let says = !sentence(part).is_empty();
            if self.views && has(&VIEWS) && !says {
                *removed.views.entry(part.to_owned()).or_default() += 1;
                continue;
            }
            let compares = self.comparisons && has(&COMPARISONS);
            if compares && !says {
                *removed.comparisons.entry(part.to_owned()).or_default() += 1;
                continue;
            }
            let words = part.split_whitespace().filter(|word| {
                let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
                let mark = self.marks && is_mark(bare);
                removed.marks += usize::from(mark);
                !(mark || compares && CHANGE.contains(&bare.to_lowercase().as_str()))
            });
            let words: Vec<&str> = words.collect();
            // what a mark leaves of a sentence may be nothing
            if says || words.iter().filter(|word| word.chars().any(char::is_alphabetic)).count() >= 2 {
                kept.push(closed(&capital(&words.join(" "))));
            }
        }
        removed.empty += usize::from(kept.is_empty());
        kept.join(" ")
    }
}

impl Section {
    /// The chosen part of a report, without headings.
    fn of(self, report: &str) -> String {
        let flat = report.split_whitespace().collect::<Vec<_>>().join(" ");
        let upper = flat.to_ascii_uppercase();
        let place = |heading: &str| upper.find(heading).map(|at| (at, at + heading.len()));
        let (findings, impression) = (place("FINDINGS:"), place("IMPRESSION:"));
        let cut = |from: usize, others: [Option<(usize, usize)>; 1]| {
            let end = others.into_iter().flatten().map(|(at, _)| at).filter(|at| *at >= from).min();
            flat[from..end.unwrap_or(flat.len())].trim().to_owned()
        };
        let findings = findings.map(|(_, from)| cut(from, [impression])).unwrap_or_default();
        let impression = impression.map(|(_, from)| cut(from, [place("FINDINGS:")])).unwrap_or_default();
        if findings.is_empty() && impression.is_empty() {
            return flat;
        }
        match self {
            Section::Findings if !findings.is_empty() => findings,
            Section::Impression if !impression.is_empty() => impression,
            Section::All => format!("{findings} {impression}").trim().to_owned(),
            _ => format!("{findings}{impression}"),
        }
    }
}

/// XXXX, XX and the like.
fn is_mark(word: &str) -> bool {
    word.len() >= 2 && word.chars().all(|c| c == 'X' || c == 'x')
}

/// Without the number of a point.
fn without_number(part: &str) -> &str {
    match part.split_once(". ") {
        Some((number, rest)) if number.len() <= 2 && number.chars().all(|c| c.is_ascii_digit()) => rest,
        _ => part,
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn closed(text: &str) -> String {
    let text = text.trim_end_matches([',', ';', ':', ' ']);
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(cleaning: Cleaning, text: &str) -> String {
        cleaning.clean(text, &mut Removed::default())
    }

    #[test]
    fn marks_views_and_comparisons_go_and_are_counted() {
        let text = "FINDINGS: PA and lateral views of the chest. Comparison XXXX. Stable cardiomegaly. There is XXXX opacity. \
                    IMPRESSION: 1. No acute disease.";
        let mut removed = Removed::default();
        assert_eq!(Cleaning::default().clean(text, &mut removed), "Cardiomegaly. There is opacity.");
        assert_eq!((removed.marks, removed.views.len(), removed.comparisons.len()), (1, 1, 1));
        let all = Cleaning { section: Section::All, ..Cleaning::default() };
        assert!(clean(all, text).ends_with("There is opacity. No acute disease."));
        assert!(clean(Cleaning::NONE, text).starts_with("PA and lateral views of the chest. Comparison XXXX."));
    }

    #[test]
    fn a_missing_section_is_the_other_one() {
        assert_eq!(clean(Cleaning::default(), "IMPRESSION: Heart size normal."), "Heart size normal.");
        assert_eq!(clean(Cleaning::default(), "Lungs are clear"), "Lungs are clear.");
        let impression = Cleaning { section: Section::Impression, ..Cleaning::default() };
        assert_eq!(clean(impression, "FINDINGS: Lungs clear. IMPRESSION: Normal chest."), "Normal chest.");
    }

    #[test]
    fn what_is_nothing_but_a_mark_is_empty() {
        let mut removed = Removed::default();
        assert_eq!(Cleaning::default().clean("FINDINGS: XXXX.", &mut removed), "");
        assert_eq!(removed.empty, 1);
    }
}
