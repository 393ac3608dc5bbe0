//! How far a picture is from the training films.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use half::f16;
use rad_dino_edge::model::manifest::OutOfDistribution;
use rayon::prelude::*;

use super::examples::Examples;
use crate::data::{Dataset, Split};
use crate::linalg::matrix::add_scaled;
use crate::linalg::{Matrix, eigen};
use crate::metrics::bootstrap::percentile;

/// Directions kept.
pub const RANK: usize = 64;
/// Smallest variance, as a share of the mean variance per direction.
const FLOOR: f64 = 1e-3;
/// The limit lets through this share of every source's val films …
const QUANTILE: f64 = 0.99;
/// … and a little more.
const MARGIN: f64 = 1.05;
/// Val films a source needs to have a say in the limit.
const MIN_VAL: usize = 30;

/// Fits mean, directions and variances to the CLS tokens (columns 0..dim) of the training films and the limit to val.
/// None with fewer than two training films or without val films.
pub fn fit(dataset: &Dataset, features: &Matrix, dim: usize) -> Option<OutOfDistribution> {
    let of = |split| Examples::new(dataset, split, |_| Some(0.0));
    let (train, val) = (of(Split::Train), of(Split::Val));
    if train.len() < 2 || val.is_empty() {
        return None;
    }
    let cls = features.select(train.rows.iter().copied(), 0..dim);
    let weights = train.weights_by_source();
    let mean = cls.fold_rows(dim, |i, sums| add_scaled(sums, weights[i], cls.row(i)));
    let covariance = covariance(&cls, &weights, &mean);
    let trace: f64 = (0..dim).map(|i| covariance[i * dim + i]).sum();
    let rank = RANK.min(dim.saturating_sub(1)).min(train.len() - 1);
    let (mut variances, basis) = eigen::leading(&covariance, dim, rank);
    let residual = (trace - variances.iter().sum::<f64>()).max(0.0) / (dim - rank) as f64;
    variances.push(residual);
    let floor = (FLOOR * trace / dim as f64).max(f64::MIN_POSITIVE);
    variances.iter_mut().for_each(|v| *v = v.max(floor));
    let half: Vec<f16> = mean.iter().chain(basis.iter().flatten()).map(|x| f16::from_f64(*x)).collect();
    let bytes: Vec<u8> = half.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut fitted =
        OutOfDistribution { limit: 0.0, dim, rank, variances, basis: STANDARD.encode(bytes), detectors: Vec::new() };
    fitted.limit = limit(&distances(&fitted, features, &val.rows)?, &val);
    Some(fitted)
}

/// The distance d of the CLS token of each of `rows`; None when the basis is not what `dim` and `rank` say.
pub fn distances(fitted: &OutOfDistribution, features: &Matrix, rows: &[usize]) -> Option<Vec<f64>> {
    let (dim, rank) = (fitted.dim, fitted.rank);
    let bytes = STANDARD.decode(&fitted.basis).ok()?;
    let wanted = rank.checked_add(1)?.checked_mul(dim)?.checked_mul(2)?;
    if bytes.len() != wanted || fitted.variances.len() != rank + 1 || features.cols < dim {
        return None;
    }
    let half = |pair: &[u8]| f16::from_le_bytes([pair[0], pair[1]]).to_f64();
    let values: Vec<f64> = bytes.chunks_exact(2).map(half).collect();
    let (mean, basis) = values.split_at(dim);
    let distance = |row: usize| {
        let centred: Vec<f64> = features.row(row)[..dim].iter().zip(mean).map(|(x, m)| f64::from(*x) - m).collect();
        let mut rest = centred.clone();
        let mut square = 0.0;
        for (direction, variance) in basis.chunks_exact(dim).zip(&fitted.variances) {
            let z: f64 = direction.iter().zip(&centred).map(|(b, c)| b * c).sum();
            square += z * z / variance;
            rest.iter_mut().zip(direction).for_each(|(r, b)| *r -= z * b);
        }
        (square + rest.iter().map(|r| r * r).sum::<f64>() / fitted.variances[rank]).sqrt()
    };
    Some(rows.iter().map(|&row| distance(row)).collect())
}

/// Which of `rows` are flagged, by the distance or a detector; None when something does not fit.
pub fn flags(fitted: &OutOfDistribution, features: &Matrix, rows: &[usize]) -> Option<Vec<bool>> {
    let mut flags: Vec<bool> = distances(fitted, features, rows)?.into_iter().map(|d| d > fitted.limit).collect();
    for scores in super::pose::scores(fitted, features, rows)? {
        flags.iter_mut().zip(scores).for_each(|(flag, score)| *flag |= score > 0.0);
    }
    Some(flags)
}

/// The largest over sources of a high quantile of the val distances, times a margin; sources with few val films have
/// no say unless all are small.
pub fn limit(distances: &[f64], val: &Examples) -> f64 {
    let of_source = |source: usize| {
        let own = distances.iter().zip(&val.source).filter(|(_, s)| **s == source);
        let mut own: Vec<f64> = own.map(|(d, _)| *d).collect();
        own.sort_by(f64::total_cmp);
        own
    };
    let sources: Vec<Vec<f64>> = val.sources().into_iter().map(of_source).collect();
    let enough = sources.iter().any(|own| own.len() >= MIN_VAL);
    let heard = sources.iter().filter(|own| !enough || own.len() >= MIN_VAL);
    MARGIN * heard.map(|own| percentile(own, QUANTILE)).fold(0.0, f64::max)
}

/// Σ weight (x − mean)(x − mean)ᵀ, [dim, dim]; each row is summed over the films in their order.
fn covariance(cls: &Matrix, weights: &[f64], mean: &[f64]) -> Vec<f64> {
    let mut centred = cls.clone();
    for (i, weight) in weights.iter().enumerate() {
        for (x, m) in centred.row_mut(i).iter_mut().zip(mean) {
            *x = (weight.sqrt() * (f64::from(*x) - m)) as f32;
        }
    }
    let row = |a: usize| {
        let mut sums = vec![0.0; cls.cols];
        for i in 0..centred.rows {
            add_scaled(&mut sums, f64::from(centred.row(i)[a]), centred.row(i));
        }
        sums
    };
    (0..cls.cols).into_par_iter().flat_map_iter(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Manifest;
    use crate::random::Random;

    #[test]
    fn films_pass_and_strangers_are_flagged() {
        let mut random = Random::new(21);
        let mut csv = String::from("file,source,split\n");
        let n = 1200;
        let dim = 24;
        let mut features = Matrix::zeros(n + 2, 2 * dim);
        for i in 0..n {
            csv += &format!("{i},{},{}\n", ["A", "B"][usize::from(i > 900)], ["train", "train", "val", "test"][i % 4]);
            for j in 0..dim {
                let spread = if j < 6 { 4.0 } else { 0.5 };
                features.row_mut(i)[j] = (spread * random.normal() + f64::from(u8::from(i > 900))) as f32;
            }
        }
        // As large as the films in the wide directions, but in a narrow one.
        features.row_mut(n)[20] = 5.0;
        features.row_mut(n + 1)[0] = 5.0;
        let data = Dataset::new(vec![Manifest::parse(csv.as_bytes()).unwrap()]);
        let fitted = fit(&data, &features, dim).unwrap();
        let test = data.of_split(Split::Test);
        let far =
            |rows: &[usize]| distances(&fitted, &features, rows).unwrap().iter().filter(|d| **d > fitted.limit).count();
        assert!(far(&test) <= test.len() / 40, "{} of {}", far(&test), test.len());
        assert_eq!((far(&[n]), far(&[n + 1])), (1, 0));
        // Squared distances of what it was fitted on have mean dim (up to the floor and f16).
        let train = Examples::new(&data, Split::Train, |_| Some(0.0));
        let own = distances(&fitted, &features, &train.rows).unwrap();
        let mean: f64 = own.iter().zip(train.weights_by_source()).map(|(d, w)| w * d * d).sum();
        assert!((mean / dim as f64 - 1.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn a_broken_basis_gives_no_distance() {
        let broken = OutOfDistribution {
            limit: 1.0,
            dim: 4,
            rank: 1,
            variances: vec![1.0, 1.0],
            basis: "AAAA".to_owned(),
            detectors: Vec::new(),
        };
        assert!(distances(&broken, &Matrix::zeros(1, 8), &[0]).is_none());
    }
}
