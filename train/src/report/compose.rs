//! Reports composed from labels, for films that have findings and no report. Only what the labels know is said: a finding
//! that a source never labels is neither asserted nor denied in its films.

use crate::data::manifest::NO_FINDING;
use crate::data::{Dataset, Film};
use crate::random::{Random, mix};

/// A label's sentences when present and when absent.
struct Words {
    label: &'static str,
    present: &'static [&'static str],
    absent: &'static [&'static str],
}

const SENTENCES: &[Words] = &[
    Words {
        label: "cardiomegaly",
        present: &["The heart is enlarged.", "The cardiac silhouette is enlarged.", "There is cardiomegaly."],
        absent: &["The heart is normal in size.", "Heart size is within normal limits."],
    },
    Words {
        label: "consolidation",
        present: &["There is consolidation.", "A consolidation is seen.", "There is airspace consolidation."],
        absent: &["No focal consolidation.", "There is no consolidation."],
    },
    Words {
        label: "pneumonia",
        present: &[
            "There is pneumonia.",
            "Airspace opacity in keeping with pneumonia.",
            "The findings are those of pneumonia.",
        ],
        absent: &["No evidence of pneumonia.", "There is no pneumonia."],
    },
    Words {
        label: "bacterial_pneumonia",
        present: &["The pattern is that of bacterial pneumonia.", "The appearance suggests bacterial pneumonia."],
        absent: &[],
    },
    Words {
        label: "viral_pneumonia",
        present: &["The pattern is that of viral pneumonia.", "The appearance suggests viral pneumonia."],
        absent: &[],
    },
    Words {
        label: "covid19",
        present: &["The appearance is in keeping with COVID-19.", "Opacities as in COVID-19 pneumonia."],
        absent: &[],
    },
    Words {
        label: "infiltration",
        present: &["There is an infiltrate.", "Infiltrates are seen."],
        absent: &["No infiltrate."],
    },
    Words {
        label: "atelectasis",
        present: &["There is atelectasis.", "Atelectasis is seen."],
        absent: &["No atelectasis."],
    },
    Words {
        label: "edema",
        present: &["There is pulmonary edema.", "Findings of pulmonary edema."],
        absent: &["No pulmonary edema."],
    },
    Words { label: "nodule", present: &["There is a pulmonary nodule.", "A nodule is seen."], absent: &["No nodule."] },
    Words { label: "mass", present: &["There is a pulmonary mass.", "A mass is seen."], absent: &["No mass."] },
    Words { label: "emphysema", present: &["There is emphysema.", "Emphysematous changes are seen."], absent: &[] },
    Words { label: "fibrosis", present: &["There is fibrosis.", "Fibrotic changes are seen."], absent: &[] },
    Words {
        label: "pleural_effusion",
        present: &["There is a pleural effusion.", "A pleural effusion is present."],
        absent: &["No pleural effusion.", "There is no pleural effusion."],
    },
    Words {
        label: "pleural_thickening",
        present: &["There is pleural thickening.", "Pleural thickening is seen."],
        absent: &[],
    },
    Words {
        label: "pneumothorax",
        present: &["There is a pneumothorax.", "A pneumothorax is present."],
        absent: &["No pneumothorax.", "There is no pneumothorax."],
    },
    Words { label: "hernia", present: &["There is a hiatal hernia."], absent: &[] },
];

const CLEAR: &[&str] = &["The lungs are clear.", "Both lungs are clear."];

/// Labels of the lungs: when all that a source knows are absent and the film is `no_finding`, the lungs are clear.
const LUNGS: &[&str] = &["consolidation", "pneumonia", "infiltration", "atelectasis", "edema", "nodule", "mass"];

/// The report of a film's labels; None for a film without labels. Which of several sentences says a thing depends on the
/// film alone, so that the same film always has the same report.
pub fn compose(dataset: &Dataset, film: &Film) -> Option<String> {
    let findings = film.row.findings.as_ref()?;
    let seed = film.row.file.bytes().fold(0u64, |seed, byte| mix(seed ^ u64::from(byte)));
    let mut random = Random::stream(seed, 0x636f_6d70);
    let clear = findings.iter().any(|f| f == NO_FINDING);
    let mut said = vec![];
    for words in SENTENCES {
        let denies = clear && LUNGS.contains(&words.label);
        let choice = match dataset.finding(film, words.label) {
            Some(true) => words.present,
            // a clear lung says it all at once
            Some(false) if !denies || words.label == "pneumonia" => words.absent,
            _ => continue,
        };
        if !choice.is_empty() {
            said.push(random.pick(choice).to_owned());
        }
    }
    if clear {
        said.insert(usize::from(said.first().is_some_and(|s| s.contains("eart"))), random.pick(CLEAR).to_owned());
    }
    (!said.is_empty()).then(|| said.join(" "))
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::report::labeller::{Assertion, label};

    use super::*;
    use crate::data::Manifest;

    #[test]
    fn what_is_composed_says_what_the_labels_say_and_no_more() {
        let csv =
            b"file,source,findings\na,A,pneumonia\nb,A,no_finding\nc,B,pleural_effusion;nodule\nd,B,no_finding\ne,B,\n";
        let data = Dataset::new(vec![Manifest::parse(csv).unwrap()]);
        let said: Vec<_> = data.films.iter().map(|film| compose(&data, film)).collect();
        let labels = |i: usize| label(said[i].as_deref().unwrap());
        assert_eq!(labels(0)["pneumonia"], Assertion::Positive);
        assert!(!labels(0).contains_key("pleural_effusion"), "A knows nothing of effusions: {said:?}");
        assert_eq!(labels(1)["no_finding"], Assertion::Positive);
        assert_eq!((labels(2)["pleural_effusion"], labels(2)["nodule"]), (Assertion::Positive, Assertion::Positive));
        assert_eq!(labels(3)["pleural_effusion"], Assertion::Negative);
        assert_eq!(said[4], None);
        assert_eq!(compose(&data, &data.films[2]), said[2], "the same every time");
    }
}
