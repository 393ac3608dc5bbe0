//! Detectors of films held wrongly: logistic regression of the same films upright and held like that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use rad_dino_edge::model::manifest::{Detector, OutOfDistribution};

use super::binary;
use super::examples::Examples;
use crate::data::pose::Pose;
use crate::data::{Dataset, Split};
use crate::linalg::Matrix;
use crate::metrics::bootstrap::percentile;

/// Each detector lets through this share of every source's val films.
const QUANTILE: f64 = 0.995;
/// Share of the held val films that may lie below the room between upright and held.
const MISSED: f64 = 0.02;
/// Val films a source needs to have a say in the limit.
const MIN_VAL: usize = 30;

/// Fits one detector a kind of pose. `upright` [n, 2D or more] are the features of the films of `dataset`, `posed` those
/// of the same films in each pose of [`Pose::ALL`]. Only the first `width` columns (2D) count.
pub fn detectors(dataset: &Dataset, upright: &Matrix, posed: &[Matrix], width: usize) -> Vec<Detector> {
    let mut labels: Vec<&str> = Pose::ALL.iter().map(|pose| pose.detector()).collect();
    labels.dedup();
    let of_label = |label: &str| {
        let own = Pose::ALL.iter().zip(posed).filter(|(pose, _)| pose.detector() == label);
        let parts: Vec<&Matrix> = std::iter::once(upright).chain(own.map(|(_, features)| features)).collect();
        let mut all = Matrix::zeros(0, width);
        for part in &parts {
            let part = part.select(0..part.rows, 0..width);
            all.values.extend(part.values);
            all.rows += part.rows;
        }
        let examples = |split| {
            let films = Examples::new(dataset, split, |_| Some(0.0));
            let mut held = Examples::default();
            for part in 0..parts.len() {
                held.rows.extend(films.rows.iter().map(|row| part * upright.rows + row));
                held.source.extend(&films.source);
                held.target.extend(vec![f64::from(u8::from(part > 0)); films.len()]);
            }
            held
        };
        let val = examples(Split::Val);
        let fitted = binary::fit(&all, 0..width, &examples(Split::Train), &val)?;
        let straight = Examples::new(dataset, Split::Val, |_| Some(0.0));
        let scores = fitted.linear.outputs(&all, &straight.rows);
        let first_held = upright.rows;
        let upright = limit(&scores, &straight)?;
        let rows: Vec<usize> = val.rows.iter().copied().filter(|row| *row >= first_held).collect();
        let mut held = fitted.linear.outputs(&all, &rows);
        held.sort_by(f64::total_cmp);
        // Where there is room between upright and held films, the limit lies in its middle.
        let limit = upright.max(0.5 * (upright + percentile(&held, MISSED)));
        let half: Vec<f16> = fitted.linear.weight.iter().map(|w| f16::from_f64(*w)).collect();
        if half.iter().any(|w| !w.is_finite()) {
            return None;
        }
        let bytes: Vec<u8> = half.iter().flat_map(|w| w.to_le_bytes()).collect();
        let bias = fitted.linear.bias - limit;
        Some(Detector { label: label.to_owned(), bias, weights: STANDARD.encode(bytes) })
    };
    labels.into_iter().filter_map(of_label).collect()
}

/// The largest over sources of a high quantile of the upright films' scores, at least 0; None without films.
pub fn limit(scores: &[f64], films: &Examples) -> Option<f64> {
    let of_source = |source: usize| {
        let own = scores.iter().zip(&films.source).filter(|(_, s)| **s == source);
        let mut own: Vec<f64> = own.map(|(score, _)| *score).collect();
        own.sort_by(f64::total_cmp);
        own
    };
    let sources: Vec<Vec<f64>> = films.sources().into_iter().map(of_source).collect();
    let enough = sources.iter().any(|own| own.len() >= MIN_VAL);
    let heard = sources.iter().filter(|own| !enough || own.len() >= MIN_VAL);
    heard.map(|own| percentile(own, QUANTILE)).reduce(f64::max).map(|limit| limit.max(0.0))
}

/// The scores of each detector of `fitted` for `rows` of `features`; None when its weights do not fit.
pub fn scores(fitted: &OutOfDistribution, features: &Matrix, rows: &[usize]) -> Option<Vec<Vec<f64>>> {
    let of_detector = |detector: &Detector| {
        let bytes = STANDARD.decode(&detector.weights).ok()?;
        let weights: Vec<f64> = bytes.as_chunks::<2>().0.iter().map(|b| f16::from_le_bytes(*b).to_f64()).collect();
        if weights.len() != 2 * fitted.dim || features.cols < weights.len() {
            return None;
        }
        let score = |&row: &usize| {
            let products = weights.iter().zip(features.row(row)).map(|(w, x)| w * f64::from(*x));
            products.sum::<f64>() + detector.bias
        };
        Some(rows.iter().map(score).collect())
    };
    fitted.detectors.iter().map(of_detector).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Manifest;
    use crate::random::Random;

    #[test]
    fn a_pose_that_moves_a_feature_is_found() {
        let mut random = Random::new(4);
        let n = 600;
        let mut csv = String::from("file,source,split\n");
        (0..n).for_each(|i| csv += &format!("{i},A,{}\n", ["train", "train", "val", "test"][i % 4]));
        let data = Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()]);
        let mut make = |shifted: usize| {
            let mut features =
                Matrix { rows: n, cols: 8, values: (0..n * 8).map(|_| random.normal() as f32).collect() };
            (0..n).for_each(|i| features.row_mut(i)[shifted] += 8.0);
            features
        };
        let upright = make(0);
        let posed: Vec<Matrix> = (1..=5).map(&mut make).collect();
        let detectors = detectors(&data, &upright, &posed, 8);
        let labels: Vec<&str> = detectors.iter().map(|d| d.label.as_str()).collect();
        assert_eq!(labels, ["upside_down", "sideways", "inverted"]);
        let fitted =
            OutOfDistribution { limit: 1.0, dim: 4, rank: 1, variances: vec![1.0; 2], basis: String::new(), detectors };
        let test = data.of_split(Split::Test);
        let fired = |features: &Matrix, detector: usize| {
            scores(&fitted, features, &test).unwrap()[detector].iter().filter(|s| **s > 0.0).count()
        };
        for (pose, features) in posed.iter().enumerate() {
            assert!(fired(features, [0, 0, 1, 1, 2][pose]) >= test.len() * 95 / 100);
        }
        let upright: Vec<usize> = (0..3).map(|d| fired(&upright, d)).collect();
        assert!(upright.iter().all(|films| *films <= test.len() / 40), "{upright:?} of {}", test.len());
    }
}
