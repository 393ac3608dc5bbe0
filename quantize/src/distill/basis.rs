//! The subspace of the teacher's residual stream that a narrower student keeps.

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_train::linalg::eigen;

use super::least_squares::doubles;

/// Sums of x·xᵀ over centred tokens of length 1, weighted.
#[derive(Clone, Debug)]
pub struct Moments {
    width: usize,
    sums: Vec<f64>,
}

impl Moments {
    /// Of a stream of width D.
    pub fn new(width: usize) -> Self {
        Moments { width, sums: vec![0.0; width * width] }
    }

    /// Adds the rows of `normed` [n, D] (as a LayerNorm without weights leaves them), each `w` [n, 1] times.
    pub fn add<B: Backend>(&mut self, normed: &Tensor<B, 2>, w: &Tensor<B, 2>) {
        let gram = doubles(normed.clone().mul(w.clone()).transpose().matmul(normed.clone()));
        self.sums.iter_mut().zip(gram).for_each(|(sum, g)| *sum += g);
    }

    /// The map [D, d] onto the d − 1 leading directions: x' = x · P. Its columns are the directions turned by a cosine
    /// transform without its constant vector, so that x' has mean 0 (the student's LayerNorm then subtracts nothing,
    /// and only divides by the length) and no channel of x' is much louder than the others (int8 rounds a token by its
    /// loudest channel). Rows and columns: P·Pᵀ is the projection, Pᵀ·P is 1 but for the constant vector.
    ///
    /// Also the share of the sum of squares that is kept.
    pub fn basis<B: Backend>(&self, d: usize, device: &B::Device) -> (Tensor<B, 2>, f64) {
        let rank = d.saturating_sub(1).min(self.width);
        let (kept, directions) = eigen::leading(&self.sums, self.width, rank);
        let trace: f64 = (0..self.width).map(|i| self.sums[i * self.width + i]).sum();
        let mut map = vec![0.0f32; self.width * d];
        for column in 0..d {
            let turn: Vec<f64> = (0..rank).map(|k| cosine(k + 1, column, d)).collect();
            for row in 0..self.width {
                let value: f64 = directions.iter().zip(&turn).map(|(u, h)| u[row] * h).sum();
                map[row * d + column] = value as f32;
            }
        }
        let share = kept.iter().sum::<f64>() / trace.max(f64::MIN_POSITIVE);
        (Tensor::from_data(TensorData::new(map, [self.width, d]), device), share)
    }
}

/// Row k of the orthonormal DCT-II of length d.
fn cosine(k: usize, i: usize, d: usize) -> f64 {
    let scale = if k == 0 { 1.0 } else { 2.0 };
    (scale / d as f64).sqrt() * (std::f64::consts::PI * (i as f64 + 0.5) * k as f64 / d as f64).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;
    use rad_dino_train::random::Random;
    use rad_dino_train::vit::linear::values;

    #[test]
    fn what_lies_in_the_subspace_keeps_its_length_and_has_mean_zero() {
        let (device, mut random) = (Default::default(), Random::new(2));
        let mut normal = |rows: usize, columns: usize| {
            let values = (0..rows * columns).map(|_| random.normal() as f32).collect::<Vec<_>>();
            Tensor::<Flex, 2>::from_data(TensorData::new(values, [rows, columns]), &device)
        };
        // tokens of 16 channels that live in 5 directions
        let x = normal(300, 5).matmul(normal(5, 16));
        let mut moments = Moments::new(16);
        moments.add(&x, &Tensor::ones([300, 1], &device));
        let (map, share) = moments.basis::<Flex>(8, &device);
        assert!((share - 1.0).abs() < 1e-6, "{share}");
        let narrow = x.clone().matmul(map.clone());
        assert!(values(narrow.clone().mean_dim(1)).iter().all(|m| m.abs() < 1e-5));
        let back = narrow.matmul(map.transpose());
        assert!(values(back.sub(x)).iter().all(|d| d.abs() < 1e-4));
    }
}
