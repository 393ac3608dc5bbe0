//! Linear layers and norms from checkpoint rows.

use burn::module::Param;
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

/// A trainable vector [n].
pub fn vector<B: Backend>(values: &[f32], device: &B::Device) -> Param<Tensor<B, 1>> {
    Param::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

/// A trainable matrix [rows, columns] from row-major values.
pub fn matrix<B: Backend>(values: &[f32], rows: usize, columns: usize, device: &B::Device) -> Param<Tensor<B, 2>> {
    Param::from_data(TensorData::new(values.to_vec(), [rows, columns]), device)
}

/// Row-major [rows, columns] to row-major [columns, rows].
pub fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut result = Vec::with_capacity(values.len());
    for column in 0..columns {
        result.extend((0..rows).map(|row| values[row * columns + column]));
    }
    result
}

/// A layer from weights [out, in] as checkpoints store them; burn keeps [in, out].
pub fn linear<B: Backend>(weight: &[f32], bias: Option<&[f32]>, inputs: usize, device: &B::Device) -> Linear<B> {
    let outputs = weight.len() / inputs;
    Linear {
        weight: matrix(&transposed(weight, outputs, inputs), inputs, outputs, device),
        bias: bias.map(|b| vector(b, device)),
    }
}

/// LayerNorm over the last dimension.
pub fn layer_norm<B: Backend>(weight: &[f32], bias: &[f32], epsilon: f64, device: &B::Device) -> LayerNorm<B> {
    let mut norm = LayerNormConfig::new(weight.len()).with_epsilon(epsilon).init(device);
    norm.gamma = vector(weight, device);
    norm.beta = Some(vector(bias, device));
    norm
}

/// The values of a tensor as f32, row-major.
pub fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
