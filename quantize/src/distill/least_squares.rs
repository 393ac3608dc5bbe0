//! Weighted ridge regression of many outputs at once: normal equations on the device, solved here in f64.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::vit::linear::values;

/// y ≈ x · weight + bias.
#[derive(Clone, Debug)]
pub struct Fit<B: Backend> {
    /// [a, b]
    pub weight: Tensor<B, 2>,
    /// [1, b]
    pub bias: Tensor<B, 2>,
}

impl<B: Backend> Fit<B> {
    /// [n, a] to [n, b].
    pub fn apply(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        x.matmul(self.weight.clone()).add(self.bias.clone())
    }
}

/// The weight and bias that minimise Σ w·|x·weight + bias − y|²; x [n, a], y [n, b], w [n, 1]. `strength` of the ridge
/// is in units of the mean variance of x.
///
/// # Errors
/// `Data` when the values are not finite.
pub fn fit<B: Backend>(x: &Tensor<B, 2>, y: &Tensor<B, 2>, w: &Tensor<B, 2>, strength: f64) -> Result<Fit<B>> {
    let total = w.clone().sum().reshape([1, 1]);
    let mean = |v: &Tensor<B, 2>| v.clone().mul(w.clone()).sum_dim(0).div(total.clone());
    let (x_mean, y_mean) = (mean(x), mean(y));
    let (x, y) = (x.clone().sub(x_mean.clone()), y.clone().sub(y_mean.clone()));
    let weighted = x.clone().mul(w.clone()).transpose();
    let (a, b) = (x.dims()[1], y.dims()[1]);
    let mut gram = doubles(weighted.clone().matmul(x.clone()));
    let mut cross = doubles(weighted.matmul(y));
    ridge(&mut gram, a, strength);
    solve(&mut gram, a, &mut cross, b)?;
    let weight: Vec<f32> = cross.into_iter().map(|v| v as f32).collect();
    let weight = Tensor::from_data(TensorData::new(weight, [a, b]), &x.device());
    let bias = y_mean.sub(x_mean.matmul(weight.clone()));
    Ok(Fit { weight, bias })
}

/// Adds `strength` times its mean to the diagonal of `gram` [a, a].
pub fn ridge(gram: &mut [f64], a: usize, strength: f64) {
    let mean = (0..a).map(|i| gram[i * a + i]).sum::<f64>() / a.max(1) as f64;
    (0..a).for_each(|i| gram[i * a + i] += strength * mean + 1e-12);
}

/// Solves gram · X = right by Cholesky, in place: `gram` [a, a] symmetric positive definite, `right` [a, b] becomes X.
///
/// # Errors
/// `Data` when `gram` is not positive definite.
pub fn solve(gram: &mut [f64], a: usize, right: &mut [f64], b: usize) -> Result<()> {
    for i in 0..a {
        let (above, rest) = gram.split_at_mut(i * a);
        let row = &mut rest[..a];
        for j in 0..i {
            let other = &above[j * a..j * a + j + 1];
            let dot: f64 = row[..j].iter().zip(other).map(|(x, y)| x * y).sum();
            row[j] = (row[j] - dot) / other[j];
        }
        let pivot = row[i] - row[..i].iter().map(|x| x * x).sum::<f64>();
        if !(pivot.is_finite() && pivot > 0.0) {
            return Err(Error::new(ErrorKind::Data, "the teacher's features cannot be regressed on")
                .hint("raise student.calibration, or use student.start = \"random\""));
        }
        row[i] = pivot.sqrt();
    }
    for i in 0..a {
        let (done, rest) = right.split_at_mut(i * b);
        let row = &mut rest[..b];
        for j in 0..i {
            subtract(row, gram[i * a + j], &done[j * b..(j + 1) * b]);
        }
        row.iter_mut().for_each(|v| *v /= gram[i * a + i]);
    }
    for i in (0..a).rev() {
        let (before, done) = right.split_at_mut((i + 1) * b);
        let row = &mut before[i * b..];
        for j in i + 1..a {
            subtract(row, gram[j * a + i], &done[(j - i - 1) * b..(j - i) * b]);
        }
        row.iter_mut().for_each(|v| *v /= gram[i * a + i]);
    }
    Ok(())
}

fn subtract(row: &mut [f64], factor: f64, other: &[f64]) {
    row.iter_mut().zip(other).for_each(|(x, y)| *x -= factor * y);
}

/// Row-major values in f64.
pub fn doubles<B: Backend>(tensor: Tensor<B, 2>) -> Vec<f64> {
    values(tensor).into_iter().map(f64::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;
    use rad_dino_train::random::Random;

    #[test]
    fn a_linear_map_is_found_and_weights_decide_between_two() {
        let device = Default::default();
        let mut random = Random::new(4);
        let mut normal = |rows: usize, columns: usize| {
            let values = (0..rows * columns).map(|_| random.normal() as f32).collect::<Vec<_>>();
            Tensor::<Flex, 2>::from_data(TensorData::new(values, [rows, columns]), &device)
        };
        let (x, map) = (normal(200, 6), normal(6, 3));
        let y = x.clone().matmul(map.clone()).add_scalar(2.0);
        let found = fit(&x, &y, &Tensor::ones([200, 1], &device), 1e-4).unwrap();
        assert!(values(found.weight.sub(map)).iter().all(|d| d.abs() < 2e-3));
        assert!(values(found.bias).iter().all(|b| (b - 2.0).abs() < 2e-3));
        // rows that contradict each other: the heavier ones win
        let x = Tensor::cat(vec![x.clone(), x], 0);
        let y = Tensor::cat(vec![y.clone(), y.clone().neg()], 0);
        let w = Tensor::cat(vec![Tensor::ones([200, 1], &device), Tensor::full([200, 1], 1e-4, &device)], 0);
        let bias = values(fit(&x, &y, &w, 1e-4).unwrap().bias);
        assert!(bias.iter().all(|b| (b - 2.0).abs() < 1e-2), "{bias:?}");
        assert!(solve(&mut [1.0, 2.0, 2.0, 1.0], 2, &mut [1.0, 1.0], 1).is_err(), "not positive definite");
    }
}
