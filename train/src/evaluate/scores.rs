//! Predictions of some films of one source against the truth, as metrics with intervals.

use rad_dino_edge::model::manifest::{Calibration, Metric};

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
    let mut metrics = Vec::new();
    let used: Vec<&str> = dataset.labels_of(source).collect();
    for (finding, logits) in &predictions.findings {
        if !used.contains(&finding.label.as_str()) {
            continue;
        }
        let known = Known::new(dataset, rows, |film| dataset.finding(film, &finding.label));
        let place = ("findings", finding.label.as_str());
        if logits.is_empty() {
            for name in ["auroc", "auprc"] {
                known.push(place, name, |_| None, &mut metrics);
            }
            continue;
        }
        let own: Vec<f64> = known.rows.iter().map(|&row| logits[row]).collect();
        known.ranking(place, &own, &["auroc", "auprc"], &mut metrics);
        if detail == Detail::Full {
            known.decision(place, &own, &finding.calibration, finding.threshold, &mut metrics);
        }
    }
    if let Some((calibration, logits)) = &predictions.sex {
        let known = Known::new(dataset, rows, |film| film.row.sex.map(|s| s == Sex::Female));
        let own: Vec<f64> = known.rows.iter().map(|&row| logits[row]).collect();
        known.ranking(("sex", "female"), &own, &["auroc"], &mut metrics);
        let right = known.agreement(|i| calibration.probability(own[i]) >= 0.5);
        known.push(("sex", "female"), "accuracy", |w| mean(&right, w), &mut metrics);
    }
    if let Some(years) = &predictions.age {
        let known = Known::new(dataset, rows, |film| film.row.age.map(|_| false));
        let own: Vec<f64> = known.rows.iter().map(|&row| years[row]).collect();
        let truth: Vec<f64> = known.rows.iter().filter_map(|&row| dataset.films[row].row.age).collect();
        let errors = absolute_errors(&own, &truth);
        known.push(("age", "age_years"), "mae", |w| mean(&errors, w), &mut metrics);
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
        known.ranking(("view", "PA"), &own, &["auroc"], &mut metrics);
        let right = known.agreement(|i| probabilities[i].iter().all(|p| *p <= own[i]));
        known.push(("view", "PA"), "accuracy", |w| mean(&right, w), &mut metrics);
    }
    if let Some(segmentation) = &predictions.segmentation {
        let films: Vec<_> =
            rows.iter().filter_map(|&row| Some((row, segmentation.films.get(row)?.as_ref()?))).collect();
        let known = Known::of(dataset, films.iter().map(|(row, film)| (*row, film.scan.truth > 0)));
        type Measure = fn(&FilmOverlap) -> f64;
        let measures: [(&str, Measure); 3] =
            [("dice", |f| f.crop.dice()), ("iou", |f| f.crop.iou()), ("dice_scan", |f| f.scan.dice())];
        for (name, measure) in measures {
            let own: Vec<f64> = films.iter().map(|(_, film)| measure(film)).collect();
            known.push(("segmentation", &segmentation.label), name, |w| mean(&own, w), &mut metrics);
        }
    }
    if let Some(flags) = predictions.out_of_distribution.as_ref().filter(|_| detail == Detail::Full) {
        let known = Known::new(dataset, rows, |_| Some(false));
        let own: Vec<f64> = known.rows.iter().map(|&row| f64::from(u8::from(flags[row]))).collect();
        known.push(("out_of_distribution", "flagged"), "rate", |w| mean(&own, w), &mut metrics);
    }
    metrics
}

/// The films of which a truth is known.
struct Known {
    rows: Vec<usize>,
    positive: Vec<bool>,
    patients: Patients,
}

impl Known {
    fn new(dataset: &Dataset, rows: &[usize], truth: impl Fn(&Film) -> Option<bool>) -> Self {
        Known::of(dataset, rows.iter().filter_map(|&row| Some((row, truth(&dataset.films[row])?))))
    }

    /// Rows and whether they are positive.
    fn of(dataset: &Dataset, known: impl Iterator<Item = (usize, bool)>) -> Self {
        let (rows, positive): (Vec<usize>, Vec<bool>) = known.unzip();
        let patients = Patients::new(rows.iter().map(|&row| dataset.films[row].row.patient_id.as_str()));
        Known { rows, positive, patients }
    }

    fn metric(&self, place: (&str, &str), name: &str, value: impl Fn(&[f64]) -> Option<f64> + Sync) -> Metric {
        let point = value(&vec![1.0; self.rows.len()]);
        let interval = point.and_then(|_| self.patients.interval(&value));
        Metric {
            source: String::new(),
            task: place.0.to_owned(),
            label: place.1.to_owned(),
            metric: name.to_owned(),
            value: point,
            low: interval.map(|i| i.0),
            high: interval.map(|i| i.1),
            n: self.rows.len(),
            positives: self.positive.iter().filter(|p| **p).count(),
        }
    }

    /// Adds a metric unless no film is known.
    fn push(
        &self,
        place: (&str, &str),
        name: &str,
        value: impl Fn(&[f64]) -> Option<f64> + Sync,
        out: &mut Vec<Metric>,
    ) {
        if !self.rows.is_empty() {
            out.push(self.metric(place, name, value));
        }
    }

    fn ranking(&self, place: (&str, &str), scores: &[f64], names: &[&str], out: &mut Vec<Metric>) {
        let ranking = Ranking::new(scores, &self.positive);
        for name in names {
            let area = if *name == "auprc" { auprc::weighted } else { auroc::weighted };
            self.push(place, name, |w| area(&ranking, w), out);
        }
    }

    fn decision(
        &self,
        place: (&str, &str),
        logits: &[f64],
        scale: &Calibration,
        threshold: f64,
        out: &mut Vec<Metric>,
    ) {
        let probabilities: Vec<f64> = logits.iter().map(|z| sigmoid(scale.scale * z + scale.offset)).collect();
        self.push(place, "ece", |w| expected_calibration_error(&probabilities, &self.positive, w), out);
        let right = self.agreement(|i| probabilities[i] >= threshold);
        for (name, class) in [("sensitivity", true), ("specificity", false)] {
            let of_class = |w: &[f64]| -> Vec<f64> {
                w.iter().zip(&self.positive).map(|(w, p)| if *p == class { *w } else { 0.0 }).collect()
            };
            self.push(place, name, |w| mean(&right, &of_class(w)), out);
        }
    }

    /// 1 where `called(i)` is the truth, else 0.
    fn agreement(&self, called: impl Fn(usize) -> bool) -> Vec<f64> {
        self.positive.iter().enumerate().map(|(i, p)| f64::from(u8::from(called(i) == *p))).collect()
    }
}
