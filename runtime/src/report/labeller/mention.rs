//! Phrases that name a finding, and organs that are called normal.

use super::assertion::{Assertion, assertion};

/// Label and phrases, lower-case; a phrase matches whole words, `*` any ending of a word.
pub const PHRASES: &[(&str, &[&str])] = &[
    (
        "enlarged_cardiomediastinum",
        &[
            "enlarged cardiomediastin*",
            "widened mediastin*",
            "mediastinal widening",
            "mediastinum is widened",
            "enlargement of the mediastin*",
            "enlarged mediastin*",
            "mediastinal enlargement",
        ],
    ),
    (
        "cardiomegaly",
        &[
            "cardiomegaly",
            "enlarged heart",
            "heart is enlarged",
            "heart is mildly enlarged",
            "heart is moderately enlarged",
            "heart is severely enlarged",
            "heart is markedly enlarged",
            "heart is slightly enlarged",
            "heart is borderline enlarged",
            "heart is not enlarged",
            "heart size is enlarged",
            "heart size is mildly enlarged",
            "cardiac enlargement",
            "enlarged cardiac",
            "cardiac silhouette is enlarged",
            "cardiac silhouette is mildly enlarged",
            "silhouette is enlarged",
            "heart size is upper limits*",
            "heart enlarged",
            "heart mildly enlarged",
            "heart size mildly enlarged",
            "enlargement of the cardiac silhouette",
            "enlargement of the heart",
            "borderline cardiomegaly",
            "heart size is increased",
        ],
    ),
    (
        "lung_opacity",
        &[
            "opacit*",
            "opacification*",
            "airspace disease",
            "air space disease",
            "infiltrat*",
            "interstitial markings",
            "interstitial prominence",
            "densit*",
            "reticul*",
            "haziness",
            "hazy",
            "airspace process",
        ],
    ),
    (
        "lung_lesion",
        &["lesion*", "nodul*", "mass", "masses", "tumor*", "neoplasm*", "cavit*", "granuloma*", "malignan*"],
    ),
    ("nodule", &["nodul*"]),
    ("mass", &["mass", "masses"]),
    ("granuloma", &["granuloma*"]),
    (
        "edema",
        &[
            "edema",
            "oedema",
            "congestive heart failure",
            "chf",
            "vascular congestion",
            "pulmonary congestion",
            "heart failure",
            "kerley*",
            "fluid overload",
            "pulmonary venous hypertension",
        ],
    ),
    ("pulmonary_congestion", &["vascular congestion", "pulmonary congestion", "venous congestion"]),
    ("consolidation", &["consolidat*"]),
    ("infiltration", &["infiltrat*"]),
    ("airspace_disease", &["airspace disease", "air space disease", "airspace opacit*", "air space opacit*"]),
    ("pneumonia", &["pneumonia*", "pneumonic", "infectious process", "infection*", "bronchopneumonia"]),
    ("bacterial_pneumonia", &["bacterial pneumonia", "pneumonia of bacterial*"]),
    ("viral_pneumonia", &["viral pneumonia", "pneumonia of viral*"]),
    ("atelectasis", &["atelecta*", "collapse", "volume loss"]),
    ("pneumothorax", &["pneumothora*"]),
    (
        "pleural_effusion",
        &[
            "effusion*",
            "pleural fluid",
            "hydrothorax",
            "costophrenic angle is blunted",
            "costophrenic angles are blunted",
            "fluid in the pleura*",
        ],
    ),
    ("pleural_other", &["pleural thickening", "pleural scar*", "fibrothorax", "pleural plaque*", "pleural calcif*"]),
    ("pleural_thickening", &["pleural thickening", "pleural plaque*"]),
    ("fracture", &["fracture*", "fractured"]),
    (
        "support_devices",
        &[
            "catheter*",
            "endotracheal tube",
            "tracheostomy",
            "picc",
            "pacemaker*",
            "pacer",
            "defibrillator",
            "icd",
            "stent*",
            "nasogastric",
            "ng tube",
            "enteric tube",
            "chest tube*",
            "port-a-cath",
            "mediport",
            "central line*",
            "venous line*",
            "electrode*",
            "tube ends",
            "feeding tube",
            "valve replacement",
            "lead",
            "leads",
            "ivc filter",
            "port tip",
        ],
    ),
    ("surgical_material", &["clip*", "sternotomy", "suture*", "surgical*", "wires", "prosthe*", "cabg", "hardware"]),
    ("emphysema", &["emphysem*"]),
    ("copd", &["copd", "chronic obstructive*", "hyperinflat*", "hyperexpan*", "hyperaerat*"]),
    ("fibrosis", &["fibrosis", "fibrotic"]),
    ("scar", &["scar*"]),
    ("calcinosis", &["calcif*"]),
    ("atherosclerosis", &["atheroscler*", "tortuous aorta", "aorta is tortuous", "ectatic aorta", "aortic ectasia"]),
    ("degenerative_spine", &["degenerative*", "spondylo*", "osteophyt*"]),
    ("scoliosis", &["scolio*", "kyphos*", "dextroscolio*"]),
    ("hernia", &["hernia*"]),
    ("covid19", &["covid*", "sars-cov*"]),
];

/// Organs: when a clause calls them normal, the labels are denied.
const ORGANS: &[(&[&str], &[&str])] = &[
    (&["heart", "cardiac silhouette", "cardiac contour*", "cardiac size", "cardiac shadow"], &["cardiomegaly"]),
    (
        &["cardiomediastinal*", "mediastin*", "heart and mediastin*", "cardio mediastin*"],
        &["enlarged_cardiomediastinum", "cardiomegaly"],
    ),
    (
        &["lungs", "lung fields", "lung zones", "both lungs", "lung volumes and lungs", "lungs and pleura*"],
        &["lung_opacity", "consolidation", "atelectasis", "edema", "pneumonia", "lung_lesion"],
    ),
    (&["costophrenic angle*", "costophrenic sulc*", "pleural space*", "pleura"], &["pleural_effusion"]),
    (&["bony thorax", "bones", "osseous structures", "bony structures", "ribs", "skeleton"], &["fracture"]),
    (&["pulmonary vasculature", "pulmonary vascularity", "vascularity"], &["edema"]),
];

const NORMAL: &[&str] = &[
    "normal",
    "unremarkable",
    "clear",
    "within normal limits",
    "sharp",
    "intact",
    "not enlarged",
    "stable in size",
    "no abnormality",
    "not widened",
    "free",
];

/// Every mention of a sentence with its assertion.
pub(super) fn mentions(sentence: &str) -> Vec<(&'static str, Assertion)> {
    let mut found = vec![];
    for clause in clauses(sentence) {
        let words: Vec<&str> = clause.iter().map(String::as_str).collect();
        for (label, phrases) in PHRASES {
            for phrase in *phrases {
                let pattern: Vec<&str> = phrase.split(' ').collect();
                for at in places(&words, &pattern) {
                    found.push((*label, of_mention(label, &words, at, pattern.len())));
                }
            }
        }
        normal_organs(&words, &mut found);
    }
    found
}

fn of_mention(label: &str, words: &[&str], at: usize, length: usize) -> Assertion {
    let mention = &words[at..at + length];
    if mention.contains(&"not") {
        return Assertion::Negative;
    }
    let told = assertion(&words[..at].join(" "), &words[at + length..].join(" "));
    let soft = mention.contains(&"blunted") && label == "pleural_effusion" && !words.contains(&"effusion");
    if soft && told == Assertion::Positive { Assertion::Uncertain } else { told }
}

/// Organs called normal, and blunted angles, which are an effusion or a scar.
fn normal_organs(words: &[&str], found: &mut Vec<(&'static str, Assertion)>) {
    let normal = NORMAL.iter().any(|phrase| !places(words, &phrase.split(' ').collect::<Vec<_>>()).is_empty());
    let has = |phrases: &[&str]| phrases.iter().any(|p| !places(words, &p.split(' ').collect::<Vec<_>>()).is_empty());
    for (organs, labels) in ORGANS {
        if normal && has(organs) {
            found.extend(labels.iter().map(|label| (*label, Assertion::Negative)));
        }
    }
    if has(&["blunting of the*", "blunting"]) && has(&["costophrenic*"]) {
        found.push(("pleural_effusion", assertion(&words.join(" "), "").min(Assertion::Uncertain)));
    }
}

/// Where the words match the pattern.
fn places(words: &[&str], pattern: &[&str]) -> Vec<usize> {
    let fits = |window: &[&str]| {
        window.iter().zip(pattern).all(|(word, p)| match p.strip_suffix('*') {
            Some(stem) => word.starts_with(stem),
            None => word == p,
        })
    };
    words.windows(pattern.len()).enumerate().filter(|(_, window)| fits(window)).map(|(i, _)| i).collect()
}

/// Lower-case words by clause. A clause ends at a semicolon, at a contrast, and where a list gives way to a new
/// statement.
fn clauses(sentence: &str) -> Vec<Vec<String>> {
    let lower = sentence.to_lowercase();
    let mut clauses = vec![vec![]];
    let start = |clauses: &mut Vec<Vec<String>>| {
        if clauses.last().is_some_and(|clause| !clause.is_empty()) {
            clauses.push(vec![]);
        }
    };
    let tokens: Vec<&str> = lower.split_whitespace().collect();
    for (i, token) in tokens.iter().enumerate() {
        let next = tokens.get(i + 1).copied().unwrap_or_default();
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        let contrast = matches!(word, "but" | "however" | "although" | "except" | "though" | "while" | "whereas");
        let statement = matches!(word, "there") && matches!(next, "is" | "are" | "has" | "remains");
        if contrast || statement || (word == "and" && matches!(next, "there" | "no")) {
            start(&mut clauses);
        }
        // "cardiomegaly without edema": the denial is not about what stands before
        for part in word.split(['/', ',']).filter(|part| !part.is_empty()) {
            if let Some(clause) = clauses.last_mut() {
                clause.push(part.to_owned());
            }
        }
        if token.ends_with([';', ':']) {
            start(&mut clauses);
        }
    }
    clauses
}
