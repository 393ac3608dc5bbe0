//! A linear head for one yes/no question, its strength chosen on val.

use std::ops::Range;

use super::examples::Examples;
use super::standardise::Standardiser;
use super::strength::{self, GRID};
use super::{Linear, logistic};
use crate::linalg::Matrix;

/// A fitted head.
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// On raw features.
    pub linear: Linear,
    /// The strength that val chose.
    pub strength: f64,
    /// Mean val AUROC over sources; None where val could not tell.
    pub val_auroc: Option<f64>,
}

/// Fits logistic regression of every strength on `train` (each source counting equally for the label), keeps the one with
/// the best mean val AUROC over sources. Uses the columns `cols` of `features`. None unless both classes are there.
pub fn fit(features: &Matrix, cols: Range<usize>, train: &Examples, val: &Examples) -> Option<Binary> {
    if train.positives() == 0 || train.positives() == train.len() {
        return None;
    }
    let width = features.cols;
    let raw = features.select(train.rows.iter().copied(), cols.clone());
    let weights = train.weights_by_source();
    let standardiser = Standardiser::fit(&raw, &weights);
    let design = standardiser.apply(&raw);
    let mut solution = Vec::new();
    let path = GRID.map(|strength| {
        solution = logistic::fit(&design, &train.target, &weights, strength, std::mem::take(&mut solution));
        widen(standardiser.fold(&solution[..design.cols], solution[design.cols]), &cols, width)
    });
    let goodness = |l: &Linear| strength::mean_auroc(val, &l.outputs(features, &val.rows));
    let (strength, linear, val_auroc) = strength::choose(path.to_vec(), goodness)?;
    Some(Binary { linear, strength, val_auroc })
}

/// Puts weights of the columns `cols` among `width` columns, zero elsewhere.
pub fn widen(linear: Linear, cols: &Range<usize>, width: usize) -> Linear {
    let mut weight = vec![0.0; width];
    weight[cols.clone()].copy_from_slice(&linear.weight);
    Linear { weight, bias: linear.bias }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn learns_what_one_column_says_and_leaves_the_others_alone() {
        let mut random = Random::new(9);
        let n = 400;
        let features = Matrix { rows: n, cols: 6, values: (0..n * 6).map(|_| 3.0 * random.normal() as f32).collect() };
        let rows = |range: Range<usize>| Examples {
            source: vec![0; range.len()],
            target: range.clone().map(|i| f64::from(u8::from(features.row(i)[2] > 1.0))).collect(),
            rows: range.collect(),
        };
        let (train, val) = (rows(0..300), rows(300..400));
        let head = fit(&features, 0..4, &train, &val).unwrap();
        assert!(head.val_auroc.unwrap() > 0.98, "{head:?}");
        assert_eq!((head.linear.weight.len(), &head.linear.weight[4..]), (6, &[0.0, 0.0][..]));
        let none = Examples { target: vec![1.0; 300], ..train };
        assert!(fit(&features, 0..4, &none, &val).is_none());
    }
}
