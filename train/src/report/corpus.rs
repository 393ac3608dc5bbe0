//! Reports as tokens, by film.

use std::collections::BTreeMap;

use rad_dino_edge::model::manifest::TrainingData;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::compose::compose;
use super::findings;
use super::tokenizer::Tokenizer;
use super::{Cleaning, Removed};
use crate::data::{Dataset, Split};

/// Fewest reports that are worth a training.
pub const MIN_REPORTS: usize = 40;

/// The text a film teaches, cleaned; None without one. `composed` says whether it was made of labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Position in the dataset.
    pub film: usize,
    /// Cleaned.
    pub text: String,
    /// Whether it was composed from labels.
    pub composed: bool,
}

/// The reports of `dataset`: cleaned ones as radiologists wrote them (clinical notes are none), and, with `labels`, ones
/// composed from the labels of films that have no report.
pub fn texts(dataset: &Dataset, cleaning: &Cleaning, labels: bool, removed: &mut Removed) -> Vec<Text> {
    let mut texts = vec![];
    for (i, film) in dataset.films.iter().enumerate() {
        let written = !film.row.report.trim().is_empty() && film.row.report_kind != "clinical_note";
        let (text, composed) = match written {
            true => (cleaning.clean(&film.row.report, removed), false),
            false if labels => (compose(dataset, film).unwrap_or_default(), true),
            false => continue,
        };
        if !text.is_empty() {
            texts.push(Text { film: i, text, composed });
        }
    }
    texts
}

/// Keeps the films of `dataset` that `written` is about.
pub fn retain(dataset: &mut Dataset, written: &[Text]) {
    let mut keep = vec![false; dataset.films.len()];
    written.iter().for_each(|text| keep[text.film] = true);
    let mut at = keep.into_iter();
    dataset.retain(|_| at.next().unwrap_or(false));
}

/// Sources, licences and counts of the train films of `written`.
pub fn training_data(dataset: &Dataset, written: &[Text]) -> Vec<TrainingData> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for text in written {
        let row = &dataset.films[text.film].row;
        if row.split() == Split::Train {
            let kind = if text.composed { "reports composed from labels" } else { "reports" };
            *counts.entry((format!("{} ({kind})", row.source), row.licence.clone())).or_default() += 1;
        }
    }
    counts.into_iter().map(|((source, licence), films)| TrainingData { source, licence, films }).collect()
}

/// A report as tokens: first, text, last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Position in the dataset.
    pub film: usize,
    /// Position in the texts.
    pub text: usize,
    /// At most max_tokens + 2.
    pub tokens: Vec<u32>,
    /// What the text says of CheXpert's 14 labels.
    pub labels: Vec<Option<bool>>,
}

/// Train and val reports.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Fits weights.
    pub train: Vec<Example>,
    /// Chooses the best look.
    pub val: Vec<Example>,
}

impl Corpus {
    /// Tokens of `texts` between `start` (if any) and `end`.
    ///
    /// # Errors
    /// `Data` when there are too few reports in train or none in val.
    pub fn new(
        dataset: &Dataset,
        texts: &[Text],
        tokenizer: &Tokenizer,
        (start, end): (Option<u32>, u32),
        most: usize,
    ) -> Result<Self> {
        let mut corpus = Corpus::default();
        for (i, text) in texts.iter().enumerate() {
            let part = match dataset.films[text.film].row.split() {
                Split::Train => &mut corpus.train,
                Split::Val => &mut corpus.val,
                Split::Test => continue,
            };
            let mut tokens: Vec<u32> = start.into_iter().collect();
            let words = tokenizer.encode(&text.text)?;
            let whole = words.len() <= most;
            tokens.extend(words.into_iter().take(most));
            // a report that was cut does not end here
            tokens.extend(whole.then_some(end));
            part.push(Example {
                film: text.film,
                text: i,
                tokens,
                labels: findings::labels(&text.text, text.composed),
            });
        }
        if corpus.train.len() < MIN_REPORTS || corpus.val.is_empty() {
            let (train, val) = (corpus.train.len(), corpus.val.len());
            let message = format!("{train} films of the train split and {val} of the val split have a report");
            return Err(Error::new(ErrorKind::Data, message)
                .hint(format!("{MIN_REPORTS} and 1 are needed; --compose makes reports of labels")));
        }
        Ok(corpus)
    }
}
