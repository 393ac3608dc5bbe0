//! Whether two models decide alike, film by film, truth or not.

use rad_dino_train::evaluate::Predictions;
use serde::Serialize;

/// One label's decisions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// findings, sex, view or out_of_distribution.
    pub task: &'static str,
    /// Label within the task.
    pub label: String,
    /// Films.
    pub n: usize,
    /// Films on which both say the same.
    pub agree: usize,
    /// Positive by the reference, no longer by the candidate.
    pub lost: usize,
    /// Positive by the candidate only.
    pub gained: usize,
}

/// The decisions of all heads that both have, over `n` films: at each model's own threshold for findings, at ½ for sex,
/// the most probable view, the out-of-distribution warning.
pub(super) fn decisions(a: &Predictions, b: &Predictions, n: usize) -> Vec<Decision> {
    let mut out = Vec::new();
    for (finding, ours) in &a.findings {
        let Some((other, theirs)) = b.findings.iter().find(|(other, _)| other.label == finding.label) else { continue };
        let says = |finding: &rad_dino_edge::model::manifest::Finding, logit: f64| {
            finding.calibration.probability(logit) >= finding.threshold
        };
        out.push(decision("findings", &finding.label, n, |i| (says(finding, ours[i]), says(other, theirs[i]))));
    }
    if let (Some((scale_a, ours)), Some((scale_b, theirs))) = (&a.sex, &b.sex) {
        let says = |i: usize| (scale_a.probability(ours[i]) >= 0.5, scale_b.probability(theirs[i]) >= 0.5);
        out.push(decision("sex", "female", n, says));
    }
    if let (Some((classes_a, ours)), Some((classes_b, theirs))) = (&a.view, &b.view) {
        let best = |row: &[f32]| (0..row.len()).max_by(|x, y| row[*x].total_cmp(&row[*y])).unwrap_or(0);
        for class in classes_a.iter().filter(|class| classes_b.contains(class)) {
            let says = |i: usize| (&classes_a[best(ours.row(i))] == class, &classes_b[best(theirs.row(i))] == class);
            out.push(decision("view", class, n, says));
        }
    }
    if let (Some(ours), Some(theirs)) = (&a.out_of_distribution, &b.out_of_distribution) {
        out.push(decision("out_of_distribution", "flagged", n, |i| (ours[i], theirs[i])));
    }
    out
}

fn decision(task: &'static str, label: &str, n: usize, says: impl Fn(usize) -> (bool, bool)) -> Decision {
    let mut decision = Decision { task, label: label.to_owned(), n, agree: 0, lost: 0, gained: 0 };
    for i in 0..n {
        match says(i) {
            (true, false) => decision.lost += 1,
            (false, true) => decision.gained += 1,
            _ => decision.agree += 1,
        }
    }
    decision
}

#[cfg(test)]
mod tests {
    use super::*;
    use rad_dino_edge::model::manifest::{Calibration, Finding};

    #[test]
    fn each_model_has_its_own_threshold() {
        let finding = |threshold| Finding {
            label: "mass".to_owned(),
            threshold,
            calibration: Calibration { scale: 1.0, offset: 0.0 },
        };
        let of = |threshold, logits: &[f64]| Predictions {
            findings: vec![(finding(threshold), logits.to_vec())],
            ..Predictions::default()
        };
        let (a, b) = (of(0.5, &[1.0, -1.0, 0.1, -0.1]), of(0.6, &[1.0, 1.0, 0.1, -0.1]));
        let found = decisions(&a, &b, 4);
        assert_eq!((found[0].agree, found[0].lost, found[0].gained), (2, 1, 1));
    }
}
