//! Metrics and solvers against scikit-learn (tests/reference/metrics_reference.py).

use rad_dino_train::linalg::Matrix;
use rad_dino_train::metrics::calibration::{expected_calibration_error, platt, youden_threshold};
use rad_dino_train::metrics::{Ranking, auprc, auroc, mae};
use rad_dino_train::probe::{logistic, ridge, softmax};
use serde::Deserialize;

#[derive(Deserialize)]
struct Reference {
    rankings: Vec<RankingCase>,
    solvers: Vec<SolverCase>,
}

#[derive(Deserialize)]
struct RankingCase {
    scores: Vec<f64>,
    positive: Vec<bool>,
    weights: Vec<f64>,
    auroc: f64,
    auprc: f64,
    platt: Platt,
    calibration_error: f64,
    youden_cut: f64,
    mae: f64,
}

#[derive(Deserialize)]
struct Platt {
    scale: f64,
    offset: f64,
}

#[derive(Deserialize)]
struct SolverCase {
    rows: usize,
    cols: usize,
    strength: f64,
    design: Vec<f32>,
    latent: Vec<f64>,
    weights: Vec<f64>,
    classes: Vec<usize>,
    logistic: Vec<f64>,
    softmax: Vec<f64>,
    ridge: Vec<f64>,
}

fn reference() -> Reference {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/data/metrics.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn assert_close(name: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= tolerance, "{name}[{i}]: {g} is not {w}");
    }
}

#[test]
fn rankings_and_errors_equal_scikit_learn() {
    for case in reference().rankings {
        let ranking = Ranking::new(&case.scores, &case.positive);
        let got = [
            rad_dino_train::metrics::auroc::weighted(&ranking, &case.weights).unwrap(),
            rad_dino_train::metrics::auprc::weighted(&ranking, &case.weights).unwrap(),
        ];
        assert_close("auroc, auprc", &got, &[case.auroc, case.auprc], 1e-12);
        if case.weights.iter().all(|w| *w == 1.0) {
            let got = [auroc(&case.scores, &case.positive).unwrap(), auprc(&case.scores, &case.positive).unwrap()];
            assert_close("unweighted", &got, &[case.auroc, case.auprc], 1e-12);
        }
        let truth: Vec<f64> = case.positive.iter().map(|p| f64::from(u8::from(*p))).collect();
        assert_close("mae", &[mae(&case.scores, &truth).unwrap()], &[case.mae], 1e-12);
    }
}

#[test]
fn calibration_equals_scikit_learn() {
    for case in reference().rankings {
        let ones = vec![1.0; case.scores.len()];
        let fit = platt(&case.scores, &case.positive, &ones, 0.0);
        assert_close("platt", &[fit.scale, fit.offset], &[case.platt.scale, case.platt.offset], 2e-4);
        let theirs = |x: &f64| 1.0 / (1.0 + (-(case.platt.scale * x + case.platt.offset)).exp());
        let probabilities: Vec<f64> = case.scores.iter().map(theirs).collect();
        let error = expected_calibration_error(&probabilities, &case.positive, &ones).unwrap();
        assert_close("calibration error", &[error], &[case.calibration_error], 1e-9);
        let threshold = youden_threshold(&probabilities, &case.positive, &ones);
        let called = |cut: f64| probabilities.iter().filter(|p| **p >= cut - 1e-12).count();
        assert_eq!(
            called(threshold),
            called(case.youden_cut),
            "{threshold} does not call what {} calls",
            case.youden_cut
        );
    }
}

#[test]
fn solvers_equal_scikit_learn() {
    for case in reference().solvers {
        let design = Matrix { rows: case.rows, cols: case.cols, values: case.design };
        let positive: Vec<f64> = case.latent.iter().map(|x| f64::from(u8::from(*x > 0.0))).collect();
        let got = logistic::fit(&design, &positive, &case.weights, case.strength, Vec::new());
        assert_close("logistic", &got, &case.logistic, 2e-5);
        let got = ridge::fit(&design, &case.latent, &case.weights, case.strength, Vec::new());
        assert_close("ridge", &got, &case.ridge, 2e-5);
        let classes = 1 + case.classes.iter().max().unwrap();
        let mut got = softmax::fit(&design, &case.classes, classes, &case.weights, case.strength, Vec::new());
        let stride = case.cols + 1;
        let mean = got.iter().skip(case.cols).step_by(stride).sum::<f64>() / classes as f64;
        got.iter_mut().skip(case.cols).step_by(stride).for_each(|bias| *bias -= mean);
        assert_close("softmax", &got, &case.softmax, 2e-5);
    }
}
