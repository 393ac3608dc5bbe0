//! Stochastic depth by subset: a branch runs on some of the samples only.

use burn::tensor::backend::Backend;
use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

use crate::random::Random;

/// Draws which samples a branch runs on.
#[derive(Clone, Debug)]
pub struct DropPath {
    /// Share of the samples a branch leaves out, 0 ≤ p < 1.
    pub rate: f64,
    /// The sequence of draws.
    pub random: Random,
}

impl DropPath {
    /// x + branch(x) where the branch sees a random subset of max(⌊N(1−p)⌋, 1) samples, scaled by N / subset so that
    /// its expectation stays (DINOv2's training code does the same). With p = 0 or one sample, just x + branch(x).
    pub fn residual<B: Backend>(
        &mut self,
        x: Tensor<B, 3>,
        branch: impl FnOnce(Tensor<B, 3>) -> Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        let n = x.dims()[0];
        let kept = ((n as f64 * (1.0 - self.rate)) as usize).max(1);
        if kept >= n {
            return x.clone().add(branch(x));
        }
        let chosen: Vec<i64> = self.subset(n, kept).into_iter().map(|i| i as i64).collect();
        let indices = Tensor::<B, 1, Int>::from_data(TensorData::new(chosen, [kept]), &x.device());
        let y = branch(x.clone().select(0, indices.clone())).mul_scalar(n as f64 / kept as f64);
        x.select_assign(0, indices, y, IndexingUpdateOp::Add)
    }

    /// `kept` of 0..n, ascending.
    fn subset(&mut self, n: usize, kept: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..kept {
            all.swap(i, i + self.random.below(n - i));
        }
        all.truncate(kept);
        all.sort_unstable();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vit::linear::values;
    use burn::backend::Flex;

    #[test]
    fn the_subset_is_scaled_and_the_rest_passes() {
        let device = Default::default();
        let x = Tensor::<Flex, 3>::ones([10, 1, 2], &device);
        let mut path = DropPath { rate: 0.3, random: Random::new(1) };
        let y = values(path.residual(x, |branch| {
            assert_eq!(branch.dims(), [7, 1, 2]);
            branch
        }));
        let scaled = y.iter().filter(|v| (**v - (1.0 + 10.0 / 7.0)).abs() < 1e-6).count();
        let passed = y.iter().filter(|v| **v == 1.0).count();
        assert_eq!((scaled, passed), (14, 6));
    }
}
