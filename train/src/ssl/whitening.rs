//! Heads that mean something from the first step: a whitening projection and prototypes taken from real features.

use rad_dino_edge::{Error, ErrorKind, Result};

use super::dino_head::HeadWeights;
use crate::linalg::eigen;
use crate::random::Random;

/// Share of the largest singular value that is added to all, so that noise is not blown up.
const SHRINKAGE: f64 = 0.05;

/// A head of one linear layer D → `width`: the PCA whitening of `features` [n, D]; its `k` prototypes are the projected,
/// L2-normalised features of random rows (all of them once before any twice). g is fixed at 1.
///
/// # Errors
/// `Data` when there are fewer than two rows or the features are constant.
pub fn head(features: &[f32], dim: usize, width: usize, k: usize, seed: u64) -> Result<HeadWeights> {
    let n = features.len() / dim.max(1);
    let width = width.min(dim);
    if n < 2 {
        return Err(Error::new(ErrorKind::Data, format!("{n} features are too few to whiten"))
            .hint("give more films, or set head.start = \"random\""));
    }
    let mut mean = vec![0.0f64; dim];
    for row in features.chunks_exact(dim) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n as f64);
    }
    let covariance = covariance(features, dim, &mean);
    let (values, vectors) = eigen::leading(&covariance, dim, width);
    let largest = values.first().copied().unwrap_or(0.0).max(0.0).sqrt();
    let length = mean.iter().map(|m| m * m).sum::<f64>().sqrt();
    if largest <= 1e-6 * length.max(f64::MIN_POSITIVE) {
        return Err(Error::new(ErrorKind::Data, "the features of all films are the same")
            .hint("start from another checkpoint, or set head.start = \"random\""));
    }
    let mut weight = Vec::with_capacity(width * dim);
    let mut bias = Vec::with_capacity(width);
    for (value, vector) in values.iter().zip(&vectors) {
        let scale = 1.0 / (value.max(0.0).sqrt() + SHRINKAGE * largest);
        weight.extend(vector.iter().map(|v| (v * scale) as f32));
        bias.push((-vector.iter().zip(&mean).map(|(v, m)| v * m).sum::<f64>() * scale) as f32);
    }
    let mut random = Random::new(seed);
    let mut order: Vec<usize> = Vec::new();
    let mut prototypes = Vec::with_capacity(k * width);
    for _ in 0..k {
        if order.is_empty() {
            order = (0..n).collect();
            (1..n).for_each(|i| order.swap(i, random.below(i + 1)));
        }
        let row = order.pop().unwrap_or(0);
        let x = &features[row * dim..(row + 1) * dim];
        prototypes.extend(project(x, &weight, &bias, &mut random));
    }
    Ok(HeadWeights { inputs: dim, layers: vec![(weight, bias)], prototypes, gains: None })
}

/// The unit vector along weight·x + bias; a random one where that is 0.
fn project(x: &[f32], weight: &[f32], bias: &[f32], random: &mut Random) -> Vec<f32> {
    let rows = weight.chunks_exact(x.len()).zip(bias);
    let mut y: Vec<f64> = rows
        .map(|(w, b)| w.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x)).sum::<f64>() + f64::from(*b))
        .collect();
    if y.iter().all(|v| v.abs() < 1e-12) {
        y.iter_mut().for_each(|v| *v = random.normal());
    }
    let length = y.iter().map(|v| v * v).sum::<f64>().sqrt();
    y.iter().map(|v| (v / length) as f32).collect()
}

/// [D, D] in f64.
fn covariance(features: &[f32], dim: usize, mean: &[f64]) -> Vec<f64> {
    use rayon::prelude::*;
    let n = features.len() / dim;
    let mut result = vec![0.0f64; dim * dim];
    result.par_chunks_mut(dim).enumerate().for_each(|(i, out)| {
        for row in features.chunks_exact(dim) {
            let a = f64::from(row[i]) - mean[i];
            out.iter_mut().zip(row.iter().zip(mean)).for_each(|(o, (v, m))| *o += a * (f64::from(*v) - m));
        }
        out.iter_mut().for_each(|o| *o /= n as f64);
    });
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projected_features_are_white_and_prototypes_are_among_them() {
        let (n, dim) = (400, 6);
        let mut random = Random::new(3);
        let features: Vec<f32> = (0..n)
            .flat_map(|_| {
                let z: Vec<f64> = (0..dim).map(|i| random.normal() * (1.0 + i as f64)).collect();
                (0..dim).map(|i| (3.0 + z[i] + 0.5 * z[(i + 1) % dim]) as f32).collect::<Vec<_>>()
            })
            .collect();
        let weights = head(&features, dim, 4, 10, 5).unwrap();
        weights.check().unwrap();
        let (weight, bias) = &weights.layers[0];
        let y: Vec<Vec<f64>> = features
            .chunks_exact(dim)
            .map(|x| {
                (0..4)
                    .map(|j| {
                        let w = &weight[j * dim..(j + 1) * dim];
                        w.iter().zip(x).map(|(w, x)| f64::from(w * x)).sum::<f64>() + f64::from(bias[j])
                    })
                    .collect()
            })
            .collect();
        for a in 0..4 {
            assert!(y.iter().map(|r| r[a]).sum::<f64>().abs() / (n as f64) < 1e-3);
            for b in 0..a {
                let covariance = y.iter().map(|r| r[a] * r[b]).sum::<f64>() / n as f64;
                assert!(covariance.abs() < 1e-3, "{a} {b}: {covariance}");
            }
            let variance = y.iter().map(|r| r[a] * r[a]).sum::<f64>() / n as f64;
            assert!((0.75..=1.0).contains(&variance), "{variance}");
        }
        let unit: Vec<Vec<f64>> =
            y.iter().map(|r| r.iter().map(|v| v / r.iter().map(|v| v * v).sum::<f64>().sqrt()).collect()).collect();
        for p in weights.prototypes.chunks_exact(4) {
            let best = unit.iter().map(|u| u.iter().zip(p).map(|(a, b)| a * f64::from(*b)).sum::<f64>());
            assert!(best.fold(-1.0, f64::max) > 0.9999);
        }
        assert_eq!(weights, head(&features, dim, 4, 10, 5).unwrap());
        assert!(head(&features[..dim], dim, 4, 10, 5).is_err());
        assert!(head(&vec![1.0; 10 * dim], dim, 4, 10, 5).is_err());
    }
}
