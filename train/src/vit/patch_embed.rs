//! Patches to tokens.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::precision::Precision;

/// A convolution whose stride is its size, written as a linear layer over flattened patches.
#[derive(Module, Debug)]
pub struct PatchEmbed<B: Backend> {
    /// [3·p·p, D], inputs in the order channel, row, column.
    pub projection: Linear<B>,
    /// p, pixels.
    pub patch_size: usize,
}

impl<B: Backend> PatchEmbed<B> {
    /// Pixels [N, 3, S, S] to tokens [N, g·g, D], row-major over the grid, g = S / p; what p leaves over is not seen.
    pub fn forward(&self, pixels: Tensor<B, 4>, precision: Precision) -> Tensor<B, 3> {
        // int8 files keep the embedding in f16
        let precision = precision.unrounded();
        let [n, channels, height, width] = pixels.dims();
        let p = self.patch_size;
        let (rows, columns) = (height / p, width / p);
        let pixels = pixels.slice([0..n, 0..channels, 0..rows * p, 0..columns * p]);
        let patches: Tensor<B, 6> = pixels.reshape([n, channels, rows, p, columns, p]);
        let patches = patches.permute([0, 2, 4, 1, 3, 5]).reshape([n * rows * columns, channels * p * p]);
        let tokens = precision.float(precision.linear(&self.projection, patches));
        let d = tokens.dims()[1];
        tokens.reshape([n, rows * columns, d])
    }
}
