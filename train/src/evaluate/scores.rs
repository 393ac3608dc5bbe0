//! Predictions of some films of one source against the truth, as metrics with intervals.

use std::sync::Arc;

use rad_dino_edge::model::manifest::{Calibration, Metric};
use serde::Serialize;

use super::Predictions;
use super::overlap::FilmOverlap;
use crate::data::{Dataset, Film, Sex, View};
use crate::metrics::bootstrap::Patients;
use crate::metrics::calibration::{expected_calibration_error, sigmoid};
use crate::metrics::mae::{absolute_errors, mean};
use crate::metrics::{Ranking, auprc, auroc};
use crate::probe::softmax::softmax;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Ranking and error metrics.
    Brief,
    /// Calibration, the threshold's sensitivity and specificity, and the flag rate, too.
    Full,
}

/// The metrics of the films `rows` of `dataset`, all of `source`.
pub fn scores(
    dataset: &Dataset,
    source: &str,
    rows: &[usize],
    predictions: &Predictions,
    detail: Detail,
) -> Vec<Metric> {
    measures(dataset, source, rows, predictions, detail).iter().map(Measure::metric).collect()
}

/// A statistic of films under weights a film.
type Statistic = Box<dyn Fn(&[f64]) -> Option<f64> + Send + Sync>;

/// One metric before it is computed.
pub struct Measure {
    /// findings, sex, age, view, segmentation, out_of_distribution.
    pub task: &'static str,
    /// Label within the task.
    pub label: String,
    /// Its name.
    pub name: &'static str,
    known: Arc<Known>,
    value: Statistic,
}

/// A value with its 95 % interval over patients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Point estimate; None when it cannot be computed.
    pub value: Option<f64>,
    /// Lower end.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
}

impl Measure {
    /// Films that count.
    pub fn films(&self) -> usize {
        self.known.rows.len()
    }

    /// Positive films.
    pub fn positives(&self) -> usize {
        self.known.positive.iter().filter(|p| **p).count()
    }

    /// Its value.
    pub fn estimate(&self) -> Estimate {
        self.known.estimate(&self.value)
    }

    /// `other`'s value minus this one's on the same resamples of patients; None unless both are the same metric of the
    /// same films.
    pub fn difference(&self, other: &Measure) -> Option<Estimate> {
        let same = (self.task, &self.label, self.name) == (other.task, &other.label, other.name)
            && self.known.rows == other.known.rows;
        same.then(|| self.known.estimate(|w| Some((other.value)(w)? - (self.value)(w)?)))
    }

    fn metric(&self) -> Metric {
        let Estimate { value, low, high } = self.estimate();
        Metric {
            source: String::new(),
            task: self.task.to_owned(),
            label: self.label.clone(),
            metric: self.name.to_owned(),
            value,
            low,
            high,
            n: self.films(),
            positives: self.positives(),
        }
    }
}

/// What [`scores`] computes, metric by metric; none of which no film is known.
pub fn measures(
    dataset: &Dataset,
    source: &str,
    rows: &[usize],
    predictions: &Predictions,
    detail: Detail,
) -> Vec<Measure> {
    let mut out = Vec::new();
    let used: Vec<&str> = dataset.labels_of(source).collect();
    for (finding, logits) in &predictions.findings {
        if !used.contains(&finding.label.as_str()) {
            continue;
        }
        let known = Known::new(dataset, rows, |film| dataset.finding(film, &finding.label));
        let mut place = known.at("findings", &finding.label, &mut out);
        if logits.is_empty() {
            for name in ["auroc", "auprc"] {
                place.push(name, |_| None);
            }
            continue;
        }
        let own: Vec<f64> = known.rows.iter().map(|&row| logits[row]).collect();
        place.ranking(&own, &["auroc", "auprc"]);
        if detail == Detail::Full {
            place.decision(&own, &finding.calibration, finding.threshold);
        }
    }
    if let Some((calibration, logits)) = &predictions.sex {
        let known = Known::new(dataset, rows, |film| film.row.sex.map(|s| s == Sex::Female));
        let own: Vec<f64> = known.rows.iter().map(|&row| logits[row]).collect();
        let mut place = known.at("sex", "female", &mut out);
        place.ranking(&own, &["auroc"]);
        let right = known.agreement(|i| calibration.probability(own[i]) >= 0.5);
        place.push("accuracy", move |w| mean(&right, w));
    }
    if let Some(years) = &predictions.age {
        let known = Known::new(dataset, rows, |film| film.row.age.map(|_| false));
        let own: Vec<f64> = known.rows.iter().map(|&row| years[row]).collect();
        let truth: Vec<f64> = known.rows.iter().filter_map(|&row| dataset.films[row].row.age).collect();
        let errors = absolute_errors(&own, &truth);
        known.at("age", "age_years", &mut out).push("mae", move |w| mean(&errors, w));
    }
    if let Some((classes, logits)) = &predictions.view
        && let Some(pa) = classes.iter().position(|c| c == View::Pa.as_str())
    {
        let known = Known::new(dataset, rows, |film| film.row.view.map(|v| v == View::Pa));
        let probabilities: Vec<Vec<f64>> = known
            .rows
            .iter()
            .map(|&row| softmax(&logits.row(row).iter().map(|z| f64::from(*z)).collect::<Vec<_>>()))
            .collect();
        let own: Vec<f64> = probabilities.iter().map(|p| p[pa]).collect();
        let mut place = known.at("view", "PA", &mut out);
        place.ranking(&own, &["auroc"]);
        let right = known.agreement(|i| probabilities[i].iter().all(|p| *p <= own[i]));
        place.push("accuracy", move |w| mean(&right, w));
    }
    if let Some(segmentation) = &predictions.segmentation {
        let films: Vec<_> =
            rows.iter().filter_map(|&row| Some((row, segmentation.films.get(row)?.as_ref()?))).collect();
        let known = Known::of(dataset, films.iter().map(|(row, film)| (*row, film.scan.truth > 0)));
        type Of = fn(&FilmOverlap) -> f64;
        let measures: [(&'static str, Of); 3] =
            [("dice", |f| f.crop.dice()), ("iou", |f| f.crop.iou()), ("dice_scan", |f| f.scan.dice())];
        let mut place = known.at("segmentation", &segmentation.label, &mut out);
        for (name, measure) in measures {
            let own: Vec<f64> = films.iter().map(|(_, film)| measure(film)).collect();
            place.push(name, move |w| mean(&own, w));
        }
    }
    if let Some(flags) = predictions.out_of_distribution.as_ref().filter(|_| detail == Detail::Full) {
        let known = Known::new(dataset, rows, |_| Some(false));
        let own: Vec<f64> = known.rows.iter().map(|&row| f64::from(u8::from(flags[row]))).collect();
        known.at("out_of_distribution", "flagged", &mut out).push("rate", move |w| mean(&own, w));
    }
    out
}

/// The films of which a truth is known.
struct Known {
    rows: Vec<usize>,
    positive: Vec<bool>,
    patients: Patients,
}

impl Known {
    fn new(dataset: &Dataset, rows: &[usize], truth: impl Fn(&Film) -> Option<bool>) -> Arc<Self> {
        Known::of(dataset, rows.iter().filter_map(|&row| Some((row, truth(&dataset.films[row])?))))
    }

    /// Rows and whether they are positive.
    fn of(dataset: &Dataset, known: impl Iterator<Item = (usize, bool)>) -> Arc<Self> {
        let (rows, positive): (Vec<usize>, Vec<bool>) = known.unzip();
        let patients = Patients::new(rows.iter().map(|&row| dataset.films[row].row.patient_id.as_str()));
        Arc::new(Known { rows, positive, patients })
    }

    fn estimate(&self, value: impl Fn(&[f64]) -> Option<f64> + Sync) -> Estimate {
        let point = value(&vec![1.0; self.rows.len()]);
        let interval = point.and_then(|_| self.patients.interval(&value));
        Estimate { value: point, low: interval.map(|i| i.0), high: interval.map(|i| i.1) }
    }

    fn at<'a>(self: &Arc<Self>, task: &'static str, label: &'a str, out: &'a mut Vec<Measure>) -> Place<'a> {
        Place { known: Arc::clone(self), task, label, out }
    }

    /// 1 where `called(i)` is the truth, else 0.
    fn agreement(&self, called: impl Fn(usize) -> bool) -> Vec<f64> {
        self.positive.iter().enumerate().map(|(i, p)| f64::from(u8::from(called(i) == *p))).collect()
    }
}

/// Where measures of a label go.
struct Place<'a> {
    known: Arc<Known>,
    task: &'static str,
    label: &'a str,
    out: &'a mut Vec<Measure>,
}

impl Place<'_> {
    /// Adds a metric unless no film is known.
    fn push(&mut self, name: &'static str, value: impl Fn(&[f64]) -> Option<f64> + Send + Sync + 'static) {
        if !self.known.rows.is_empty() {
            let (known, label) = (Arc::clone(&self.known), self.label.to_owned());
            self.out.push(Measure { task: self.task, label, name, known, value: Box::new(value) });
        }
    }

    fn ranking(&mut self, scores: &[f64], names: &[&'static str]) {
        let ranking = Arc::new(Ranking::new(scores, &self.known.positive));
        for name in names {
            let area = if *name == "auprc" { auprc::weighted } else { auroc::weighted };
            let ranking = Arc::clone(&ranking);
            self.push(name, move |w| area(&ranking, w));
        }
    }

    fn decision(&mut self, logits: &[f64], scale: &Calibration, threshold: f64) {
        let probabilities: Vec<f64> = logits.iter().map(|z| sigmoid(scale.scale * z + scale.offset)).collect();
        let right = self.known.agreement(|i| probabilities[i] >= threshold);
        let known = Arc::clone(&self.known);
        self.push("ece", move |w| expected_calibration_error(&probabilities, &known.positive, w));
        for (name, class) in [("sensitivity", true), ("specificity", false)] {
            let (known, right) = (Arc::clone(&self.known), right.clone());
            self.push(name, move |w| {
                let of_class = w.iter().zip(&known.positive).map(|(w, p)| if *p == class { *w } else { 0.0 });
                mean(&right, &of_class.collect::<Vec<_>>())
            });
        }
    }
}
