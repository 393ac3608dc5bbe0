//! New calibrations, thresholds and limit, with the error before and after.

use std::collections::BTreeMap;

use rad_dino_edge::model::manifest::{Calibration, Manifest};
use rad_dino_train::data::{Dataset, Film, Sex, Split};
use rad_dino_train::evaluate::Predictions;
use rad_dino_train::linalg::Matrix;
use rad_dino_train::metrics::calibration::{BINS, Bin, expected_calibration_error, reliability};
use rad_dino_train::probe::{Examples, decide, ood, pose};
use serde::Serialize;

/// Films with, and films without a label that a fit needs.
pub const MIN_CLASS: usize = 20;
/// Films that the out-of-distribution limit needs.
pub const MIN_FILMS: usize = 100;

/// One label.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fitted {
    /// findings or sex.
    pub task: &'static str,
    /// Label within the task.
    pub label: String,
    /// Films fitted on, and how many of them are positive.
    pub fitted: [usize; 2],
    /// Films measured on, and how many of them are positive.
    pub measured: [usize; 2],
    /// Expected calibration error on the films measured on, before and after; null without such films.
    pub ece: [Option<f64>; 2],
    /// Threshold, before and after.
    pub threshold: [f64; 2],
    /// From logit to probability, before and after.
    pub calibration: [Calibration; 2],
    /// Reliability diagrams of the films measured on.
    #[serde(skip)]
    pub bins: [[Bin; BINS]; 2],
}

/// Everything that was fitted.
pub(super) struct Refit {
    pub labels: Vec<Fitted>,
    pub limit: Option<[f64; 2]>,
    pub notes: Vec<String>,
}

/// Changes `manifest` to what the films of train and val in `dataset` say.
pub(super) fn refit(manifest: &mut Manifest, dataset: &Dataset, features: &Matrix, said: &Predictions) -> Refit {
    let mut out = Refit { labels: Vec::new(), limit: None, notes: Vec::new() };
    for (finding, (known, logits)) in manifest.heads.findings.iter_mut().zip(&said.findings) {
        let label = finding.label.clone();
        debug_assert_eq!(label, known.label);
        let truth = |film: &Film| dataset.finding(film, &label);
        match fit("findings", &label, dataset, logits, truth, finding.calibration, finding.threshold) {
            Ok(fitted) => {
                (finding.calibration, finding.threshold) = (fitted.calibration[1], fitted.threshold[1]);
                out.labels.push(fitted);
            }
            Err(note) => out.notes.push(note),
        }
    }
    if let (Some(calibration), Some((_, logits))) = (&mut manifest.heads.sex, &said.sex) {
        let truth = |film: &Film| film.row.sex.map(|s| s == Sex::Female);
        match fit("sex", "female", dataset, logits, truth, *calibration, 0.5) {
            Ok(mut fitted) => {
                // The manifest has no threshold of sex: it is ½.
                fitted.threshold[1] = 0.5;
                *calibration = fitted.calibration[1];
                out.labels.push(fitted);
            }
            Err(note) => out.notes.push(note),
        }
    }
    if let Some(entry) = &mut manifest.out_of_distribution {
        let films = examples(dataset, |_| Some(false), |split| split != Split::Test);
        match ood::distances(entry, features, &films.rows).filter(|_| films.len() >= MIN_FILMS) {
            Some(distances) => {
                let limit = ood::limit(&distances, &films);
                out.limit = Some([entry.limit, limit]);
                entry.limit = limit;
                let scores = pose::scores(entry, features, &films.rows).unwrap_or_default();
                for (detector, scores) in entry.detectors.iter_mut().zip(scores) {
                    detector.bias -= pose::limit(&scores, &films).unwrap_or(0.0);
                }
            }
            None => out.notes.push(format!("out_of_distribution: {} films, {MIN_FILMS} are needed", films.len())),
        }
    }
    out
}

fn fit(
    task: &'static str,
    label: &str,
    dataset: &Dataset,
    logits: &[f64],
    truth: impl Fn(&Film) -> Option<bool>,
    calibration: Calibration,
    threshold: f64,
) -> Result<Fitted, String> {
    let films = examples(dataset, &truth, |split| split != Split::Test);
    let (all, positives) = (films.len(), films.positives());
    if positives < MIN_CLASS || all - positives < MIN_CLASS {
        let without = all - positives;
        return Err(format!(
            "{task} {label}: {positives} films with and {without} without, {MIN_CLASS} of each are needed"
        ));
    }
    let of = |rows: &[usize]| rows.iter().map(|&row| logits[row]).collect::<Vec<f64>>();
    let (fresh, cut) =
        decide(of, &films).ok_or_else(|| format!("{task} {label}: on these films the head says the opposite"))?;
    let test = examples(dataset, &truth, |split| split == Split::Test);
    let (positive, weights) = (test.is_positive(), vec![1.0; test.len()]);
    let probabilities =
        [calibration, fresh].map(|c| of(&test.rows).iter().map(|z| c.probability(*z)).collect::<Vec<_>>());
    Ok(Fitted {
        task,
        label: label.to_owned(),
        fitted: [all, positives],
        measured: [test.len(), test.positives()],
        ece: probabilities.each_ref().map(|p| expected_calibration_error(p, &positive, &weights)),
        threshold: [threshold, cut],
        calibration: [calibration, fresh],
        bins: probabilities.each_ref().map(|p| reliability(p, &positive, &weights)),
    })
}

/// The films of some splits of which the truth is known.
fn examples(dataset: &Dataset, truth: impl Fn(&Film) -> Option<bool>, wanted: impl Fn(Split) -> bool) -> Examples {
    let sources: BTreeMap<&str, usize> = dataset.sources().into_iter().enumerate().map(|(i, s)| (s, i)).collect();
    let mut out = Examples::default();
    for (row, film) in dataset.films.iter().enumerate().filter(|(_, film)| wanted(film.row.split())) {
        if let (Some(positive), Some(source)) = (truth(film), sources.get(film.row.source.as_str())) {
            out.rows.push(row);
            out.source.push(*source);
            out.target.push(f64::from(u8::from(positive)));
        }
    }
    out
}
