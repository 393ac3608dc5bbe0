//! A yes/no question, taught by one source or several.

use rad_dino_edge::model::manifest::Calibration;

use super::examples::Examples;
use super::gate::{self, Gated};
use super::strength::{self, MIN_VAL};
use super::{Columns, binary};
use crate::linalg::Matrix;
use crate::metrics::calibration::{platt, youden_threshold};

/// Positive (and negative) training rows that a head needs.
pub const MIN_POSITIVES: usize = 50;
/// Training films of each answer that a source needs to teach it: with fewer, the head would learn to tell the
/// source, not the disease.
pub const MIN_CELL: usize = 20;
/// Ridge on the scale of Platt scaling.
const PLATT_RIDGE: f64 = 1e-3;

/// Training and val films of one question, from the sources that can teach it.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Fits weights.
    pub train: Examples,
    /// Chooses strength, calibration and threshold.
    pub val: Examples,
}

/// The answer: a head with its calibration.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// From features to the logit.
    pub head: Gated,
    /// From logit to probability.
    pub calibration: Calibration,
    /// By Youden's J on val.
    pub threshold: f64,
    /// Strength of the fit, one a source where the head is gated.
    pub strengths: Vec<f64>,
    /// Mean val AUROC over sources; None where val could not tell.
    pub val_auroc: Option<f64>,
}

impl Answer {
    /// One line for people.
    pub fn summary(&self) -> String {
        let strengths: Vec<String> = self.strengths.iter().map(f64::to_string).collect();
        let kind = if self.head.hidden.is_empty() { "linear" } else { "one head a source" };
        let value = self.val_auroc.map_or_else(|| "unknown".to_owned(), |a| format!("{a:.3}"));
        format!("{kind}, strength {}, val AUROC {value}", strengths.join(" and "))
    }
}

impl Question {
    /// Keeps the sources that have [`MIN_CELL`] training films of each answer.
    pub fn new(train: &Examples, val: &Examples) -> Self {
        let cells = train.cells();
        let films = |source, class| cells.get(&(source, class)).copied().unwrap_or(0);
        let teaches = |source| films(source, 0) >= MIN_CELL && films(source, 1) >= MIN_CELL;
        Question { train: train.filter(teaches), val: val.filter(teaches) }
    }

    /// The films of one source.
    pub fn of_source(&self, source: usize) -> Question {
        Question { train: self.train.filter(|s| s == source), val: self.val.filter(|s| s == source) }
    }

    /// Why there can be no head, if so.
    pub fn refusal(&self) -> Option<String> {
        let positives = self.train.positives();
        let negatives = self.train.len() - positives;
        (positives < MIN_POSITIVES || negatives < MIN_POSITIVES).then(|| {
            format!(
                "{positives} training films with and {negatives} without, in sources with {MIN_CELL} of each; \
                 a head needs {MIN_POSITIVES} of each"
            )
        })
    }

    /// One linear head or, where several sources teach it and val is better off, one a source behind a gate.
    /// None when [`Question::refusal`] says so.
    pub fn fit(&self, features: &Matrix, columns: &Columns) -> Option<Answer> {
        if self.refusal().is_some() {
            return None;
        }
        let (train, val) = (&self.train, &self.val);
        let joint = binary::fit(features, columns.used.clone(), train, val)?;
        let (mut head, mut strengths, mut val_auroc) =
            (Gated { base: joint.linear, hidden: Vec::new() }, vec![joint.strength], joint.val_auroc);
        if train.sources().len() > 1
            && let Some((gated, of_sources)) = self.one_a_source(features, columns)
        {
            let value = strength::mean_auroc(val, &gated.outputs(features, &val.rows));
            if value > val_auroc {
                (head, strengths, val_auroc) = (gated, of_sources, value);
            }
        }
        let (calibration, threshold) = decision(features, &head, val);
        Some(Answer { head, calibration, threshold, strengths, val_auroc })
    }

    fn one_a_source(&self, features: &Matrix, columns: &Columns) -> Option<(Gated, Vec<f64>)> {
        let mut heads = Vec::new();
        let mut strengths = Vec::new();
        for source in self.train.sources() {
            let own = self.of_source(source);
            let head = binary::fit(features, columns.used.clone(), &own.train, &own.val)?;
            let scale = calibration(&head.linear.outputs(features, &own.val.rows), &own.val)?;
            heads.push(head.linear.scaled(scale.scale, scale.offset));
            strengths.push(head.strength);
        }
        Some((gate::join(features, columns.gate.clone(), &self.train, &self.val, &heads)?, strengths))
    }
}

/// Platt scaling on val films, each source counting equally; None where one class is missing or the scale is not
/// positive (a head that val contradicts).
fn calibration(logits: &[f64], val: &Examples) -> Option<Calibration> {
    let positives = val.positives();
    if positives == 0 || positives == val.len() {
        return None;
    }
    let fit = platt(logits, &val.is_positive(), &val_weights(val), PLATT_RIDGE);
    (fit.scale > 0.0 && fit.scale.is_finite() && fit.offset.is_finite()).then_some(fit)
}

/// Calibration and threshold on the val films of the sources that have [`MIN_VAL`] of each answer (of all sources when
/// none has); the identity and 0.5 where val cannot tell. The threshold maximises the mean over sources of Youden's J.
fn decision(features: &Matrix, head: &Gated, val: &Examples) -> (Calibration, f64) {
    decide(|rows| head.outputs(features, rows), val).unwrap_or((Calibration { scale: 1.0, offset: 0.0 }, 0.5))
}

/// The same for whatever gives the `logits` of rows; None where `val` cannot tell.
pub fn decide(logits: impl Fn(&[usize]) -> Vec<f64>, val: &Examples) -> Option<(Calibration, f64)> {
    let cells = val.cells();
    let films = |source, class| cells.get(&(source, class)).copied().unwrap_or(0);
    let speaks = |source| films(source, 0) >= MIN_VAL && films(source, 1) >= MIN_VAL;
    let some = val.sources().into_iter().any(speaks);
    let val = val.filter(|source| !some || speaks(source));
    let logits = logits(&val.rows);
    let calibration = calibration(&logits, &val)?;
    let probabilities: Vec<f64> = logits.iter().map(|z| calibration.probability(*z)).collect();
    let threshold = youden_threshold(&probabilities, &val.is_positive(), &val.weights_of_equal_cells());
    Some((calibration, threshold))
}

/// Row weights of mean 1 such that each source counts equally (see [`Examples::weights_by_source`]).
fn val_weights(val: &Examples) -> Vec<f64> {
    val.weights_by_source().into_iter().map(|w| w * val.len() as f64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// 600 films of two sources; feature 0 shows the answer. A third source has three positives only.
    fn question() -> (Question, Matrix) {
        let mut random = Random::new(8);
        let mut features = Matrix::zeros(700, 4);
        let (mut train, mut val) = (Examples::default(), Examples::default());
        for i in 0..700 {
            let (source, positive) = if i < 600 { (i % 2, random.chance(0.5)) } else { (2, i < 603) };
            features.row_mut(i)[0] = (f64::from(u8::from(positive)) * 2.5 + random.normal()) as f32;
            (1..4).for_each(|j| features.row_mut(i)[j] = random.normal() as f32);
            let examples = if i % 5 == 0 { &mut val } else { &mut train };
            examples.rows.push(i);
            examples.source.push(source);
            examples.target.push(f64::from(u8::from(positive)));
        }
        (Question::new(&train, &val), features)
    }

    #[test]
    fn two_sources_teach_and_the_third_is_too_few() {
        let (question, features) = question();
        assert_eq!((question.train.sources(), question.val.sources()), (vec![0, 1], vec![0, 1]));
        let answer = question.fit(&features, &Columns::all(4)).unwrap();
        assert!(answer.val_auroc.unwrap() > 0.9, "{answer:?}");
        assert!((0.2..0.8).contains(&answer.threshold), "{answer:?}");
        let val = &question.val;
        let logits = answer.head.outputs(&features, &val.rows);
        let mean = logits.iter().map(|z| answer.calibration.probability(*z)).sum::<f64>() / val.len() as f64;
        let share = val.positives() as f64 / val.len() as f64;
        assert!((mean - share).abs() < 0.03, "{mean} {share}");
    }

    #[test]
    fn a_rare_answer_gets_no_head_and_a_reason() {
        let (question, features) = question();
        let rare = Question { train: question.train.filter(|s| s == 2), ..question };
        assert!(rare.refusal().unwrap().contains("a head needs 50"));
        assert!(rare.fit(&features, &Columns::all(4)).is_none());
    }
}
