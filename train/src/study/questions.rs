//! What a frozen encoder knows: test scores of fresh heads, kept so that arms can be compared film by film.

use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Sex, Split};
use crate::evaluate::fresh::{self, Wanted};
use crate::linalg::Matrix;
use crate::metrics::Ranking;
use crate::metrics::auroc::weighted;
use crate::metrics::bootstrap::Patients;
use crate::metrics::mae::{absolute_errors, mean};
use crate::probe::Columns;

/// Test films of each answer that a question needs.
const MIN_TEST: usize = 5;

/// One question on one source's test films, in the order of the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Whose films.
    pub source: String,
    /// A finding, `sex` or `age`.
    pub label: String,
    /// Number of each film's patient; numbers mean the same in every arm.
    pub patients: Vec<u32>,
    /// 0 or 1, or years.
    pub truth: Vec<f64>,
    /// Logits, or years.
    pub scores: Vec<f64>,
}

/// A number with its 95 % interval over patients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// On all films.
    pub value: f64,
    /// 2.5 %.
    pub low: f64,
    /// 97.5 %.
    pub high: f64,
}

/// A number for given row weights.
type Statistic<'a> = Box<dyn Fn(&[f64]) -> Option<f64> + Sync + 'a>;

impl Question {
    /// Whether it is a value in years, not yes or no.
    pub fn is_age(&self) -> bool {
        self.label == "age"
    }

    /// AUROC, or the mean absolute error in years.
    pub fn estimate(&self) -> Option<Estimate> {
        self.interval(self.statistic())
    }

    /// How much better `self` is than `other` on the same films: AUROC gained, or years of error less.
    pub fn gain(&self, other: &Question) -> Option<Estimate> {
        let same = self.truth == other.truth && self.patients == other.patients && self.label == other.label;
        let sign = if self.is_age() { -1.0 } else { 1.0 };
        let (own, theirs) = (self.statistic(), other.statistic());
        same.then(|| self.interval(|weights| Some(sign * (own(weights)? - theirs(weights)?)))).flatten()
    }

    /// What does not depend on the weights is done once.
    fn statistic(&self) -> Statistic<'_> {
        if self.is_age() {
            let errors = absolute_errors(&self.scores, &self.truth);
            return Box::new(move |weights| mean(&errors, weights));
        }
        let positive: Vec<bool> = self.truth.iter().map(|t| *t > 0.5).collect();
        let ranking = Ranking::new(&self.scores, &positive);
        Box::new(move |weights| weighted(&ranking, weights))
    }

    fn interval(&self, statistic: impl Fn(&[f64]) -> Option<f64> + Sync) -> Option<Estimate> {
        let ids: Vec<String> = self.patients.iter().map(u32::to_string).collect();
        let patients = Patients::new(ids.iter().map(String::as_str));
        let value = statistic(&vec![1.0; self.truth.len()])?;
        let (low, high) = patients.interval(statistic)?;
        Some(Estimate { value, low, high })
    }
}

/// Fits fresh heads for every source of `dataset` on `features` [films, 2D] and scores its test films. Which questions
/// there are, and their order, depends on the films alone.
pub fn ask(dataset: &Dataset, features: &Matrix) -> Vec<Question> {
    let mut questions = Vec::new();
    let columns = Columns::all(features.cols);
    let wanted = Wanted { view: false, ..Wanted::all(dataset) };
    let mut ids: Vec<&str> = dataset.films.iter().map(|film| film.row.patient_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let test = dataset.of_split(Split::Test);
    for (number, source) in dataset.sources().into_iter().enumerate() {
        let rows: Vec<usize> = test.iter().copied().filter(|&i| dataset.films[i].row.source == source).collect();
        let predictions = fresh::fit(dataset, features, &columns, number, &wanted);
        let mut add = |label: &str, scores: &[f64], truth: &dyn Fn(usize) -> Option<f64>| {
            let known: Vec<(usize, f64)> = rows.iter().filter_map(|&i| Some((i, truth(i)?))).collect();
            let yes = known.iter().filter(|(_, t)| *t > 0.5).count();
            let enough = if label == "age" { known.len() } else { yes.min(known.len() - yes) };
            if scores.is_empty() || enough < MIN_TEST {
                return;
            }
            let patient = |i: usize| ids.binary_search(&dataset.films[i].row.patient_id.as_str()).unwrap_or(0) as u32;
            questions.push(Question {
                source: source.to_owned(),
                label: label.to_owned(),
                patients: known.iter().map(|(i, _)| patient(*i)).collect(),
                truth: known.iter().map(|(_, t)| *t).collect(),
                scores: known.iter().map(|(i, _)| scores[*i]).collect(),
            });
        };
        for (finding, logits) in &predictions.findings {
            let truth = |i: usize| dataset.finding(&dataset.films[i], &finding.label).map(|p| f64::from(u8::from(p)));
            add(&finding.label, logits, &truth);
        }
        if let Some((_, logits)) = &predictions.sex {
            add("sex", logits, &|i| dataset.films[i].row.sex.map(|s| f64::from(u8::from(s == Sex::Female))));
        }
        if let Some(years) = &predictions.age {
            add("age", years, &|i| dataset.films[i].row.age);
        }
    }
    questions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(label: &str, truth: &[f64], scores: &[f64]) -> Question {
        Question {
            source: "S".to_owned(),
            label: label.to_owned(),
            patients: (0..truth.len() as u32).collect(),
            truth: truth.to_vec(),
            scores: scores.to_vec(),
        }
    }

    #[test]
    fn gains_are_paired_and_have_the_right_sign() {
        let truth: Vec<f64> = (0..60).map(|i| f64::from(i % 2)).collect();
        let of = |noise: f64| (0..60).map(|i| f64::from(i % 2) + f64::from(i % 7) * noise).collect::<Vec<f64>>();
        let (good, bad) = (question("mass", &truth, &of(0.1)), question("mass", &truth, &of(1.0)));
        let gain = good.gain(&bad).unwrap();
        assert!(gain.low > 0.0 && gain.value < 0.5, "{gain:?}");
        assert_eq!(good.gain(&good).unwrap(), Estimate { value: 0.0, low: 0.0, high: 0.0 });
        assert_eq!(good.estimate().unwrap().value, 1.0);
        let age = |scores: &[f64]| question("age", &[30.0, 40.0, 50.0], scores);
        assert!((age(&[31.0, 41.0, 51.0]).gain(&age(&[34.0, 44.0, 54.0])).unwrap().value - 3.0).abs() < 1e-9);
        assert!(age(&[31.0, 41.0, 51.0]).gain(&good).is_none());
    }
}
