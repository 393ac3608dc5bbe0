//! The segmentation head as a burn module: 1×1 and 3×3 convolutions on the grid, written as matrix products.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::activation::relu;
use burn::tensor::backend::Backend;
use burn::tensor::{Int, Tensor, TensorData};
use rad_dino_edge::checkpoint::SegmentationHead;

use crate::linalg::Standard;
use crate::random::Random;
use crate::vit::linear::{linear, values};

/// Shape of a head; g = grid, W = hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// D
    pub dim: usize,
    /// C
    pub channels: usize,
    /// g
    pub grid: usize,
    /// s: logits a side of a patch.
    pub scale: usize,
    /// W; 0 for a linear head.
    pub hidden: usize,
    /// 3×3 convolutions.
    pub convolutions: usize,
}

/// [`SegmentationHead`] on standardised tokens.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    /// D → W
    pub project: Option<Linear<B>>,
    /// 9·W → W each; inputs in the order row, column, channel.
    pub convolutions: Vec<Linear<B>>,
    /// W (or D) → C·s²
    pub readout: Linear<B>,
}

impl<B: Backend> Decoder<B> {
    /// Seeded: normal, variance 2 / inputs before a ReLU, 1 / inputs before the logits; biases 0.
    pub fn new(shape: &Shape, random: &mut Random, device: &B::Device) -> Self {
        let mut layer = |inputs: usize, outputs: usize, gain: f64| {
            let deviation = (gain / inputs.max(1) as f64).sqrt();
            let weight: Vec<f32> = (0..inputs * outputs).map(|_| (deviation * random.normal()) as f32).collect();
            linear(&weight, Some(&vec![0.0; outputs]), inputs, device)
        };
        let (w, rows) = (shape.hidden, shape.channels * shape.scale * shape.scale);
        Decoder {
            project: (w > 0).then(|| layer(shape.dim, w, 2.0)),
            convolutions: (0..shape.convolutions).map(|_| layer(9 * w, w, 2.0)).collect(),
            readout: layer(if w > 0 { w } else { shape.dim }, rows, 1.0),
        }
    }

    /// Standardised tokens `x` [N, P, D] to logits [N, C, s·g, s·g]. `keep`, [N, 1, ·] each, multiplies the channels of
    /// the tokens and of each convolution's output; none when the head is used, not trained.
    pub fn forward(&self, shape: &Shape, x: Tensor<B, 3>, keep: &[Tensor<B, 3>]) -> Tensor<B, 4> {
        let n = x.dims()[0];
        let (g, s) = (shape.grid, shape.scale);
        let mut keep = keep.iter();
        let mut thin = |x: Tensor<B, 3>| match keep.next() {
            Some(keep) => x.mul(keep.clone()),
            None => x,
        };
        let mut x = thin(x);
        if let Some(project) = &self.project {
            x = relu(apply(project, x));
        }
        for convolution in &self.convolutions {
            x = thin(relu(apply(convolution, neighbourhoods(x, g))));
        }
        let read = apply(&self.readout, x).reshape([n, g, g, shape.channels, s, s]);
        read.permute([0, 3, 1, 4, 2, 5]).reshape([n, shape.channels, g * s, g * s])
    }

    /// The head on raw tokens.
    pub fn head(&self, shape: &Shape, standard: &Standard) -> SegmentationHead {
        let (w, inputs) = (shape.hidden, if shape.hidden > 0 { shape.hidden } else { shape.dim });
        let rows = |layer: &Linear<B>, inputs: usize| {
            let weight = values(layer.weight.val());
            let outputs = weight.len() / inputs.max(1);
            let bias = layer.bias.as_ref().map_or_else(|| vec![0.0; outputs], |b| values(b.val()));
            (crate::vit::linear::transposed(&weight, inputs, outputs), bias)
        };
        let mut head =
            SegmentationHead { channels: shape.channels, scale: shape.scale, hidden: w, ..SegmentationHead::default() };
        (head.readout_weight, head.readout_bias) = rows(&self.readout, inputs);
        match &self.project {
            Some(project) => {
                (head.project_weight, head.project_bias) = rows(project, shape.dim);
                standard.fold(&mut head.project_weight, &mut head.project_bias);
            }
            None => standard.fold(&mut head.readout_weight, &mut head.readout_bias),
        }
        for convolution in &self.convolutions {
            let (weight, bias) = rows(convolution, 9 * w);
            let ordered = (0..weight.len()).map(|i| {
                let (out, input, place) = (i / (9 * w), i / 9 % w, i % 9);
                weight[(out * 9 + place) * w + input]
            });
            head.convolutions.push((ordered.collect(), bias));
        }
        head
    }
}

/// [N, P, K] · [K, M] + [M]
fn apply<B: Backend>(layer: &Linear<B>, x: Tensor<B, 3>) -> Tensor<B, 3> {
    let [n, p, k] = x.dims();
    let weight = layer.weight.val();
    let outputs = weight.dims()[1];
    let product = x.reshape([n * p, k]).matmul(weight);
    let sum = match &layer.bias {
        Some(bias) => product.add(bias.val().reshape([1, outputs])),
        None => product,
    };
    sum.reshape([n, p, outputs])
}

/// [N, g·g, W] → [N, g·g, 9·W]: each cell's 3×3 neighbourhood, zeros beyond the border. Whole rows are gathered, which is
/// several times faster than slices of a padded picture.
fn neighbourhoods<B: Backend>(x: Tensor<B, 3>, g: usize) -> Tensor<B, 3> {
    let [n, cells, w] = x.dims();
    let device = x.device();
    let beyond = n * cells;
    let mut rows = Vec::with_capacity(9 * beyond);
    for (cell, place) in (0..beyond).flat_map(|cell| (0..9).map(move |place| (cell, place))) {
        // One more than the neighbour's place, so that 0 is outside.
        let (y, x) = (cell % cells / g + place / 3, cell % g + place % 3);
        let inside = (1..=g).contains(&y) && (1..=g).contains(&x);
        let row = if inside { cell / cells * cells + (y - 1) * g + x - 1 } else { beyond };
        rows.push(row as i64);
    }
    let rows = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, [9 * beyond]), &device);
    let bordered = Tensor::cat(vec![x.reshape([beyond, w]), Tensor::zeros([1, w], &device)], 0);
    bordered.select(0, rows).reshape([n, cells, 9 * w])
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;
    use half::f16;

    use super::super::tokens::Tokens;
    use super::*;

    #[test]
    fn the_head_on_raw_tokens_is_the_decoder_on_standardised_ones() {
        let (grid, dim) = (4, 6);
        let mut random = Random::new(8);
        let values: Vec<f16> =
            (0..2 * grid * grid * dim).map(|i| f16::from_f64(random.normal() * (i % dim + 1) as f64 + 2.0)).collect();
        let tokens = Tokens { values, stride: grid * grid * dim, ..Tokens::default() };
        let standard = tokens.standard(dim);
        for (scale, hidden, convolutions) in [(1, 0, 0), (2, 5, 2)] {
            let shape = Shape { dim, channels: 2, grid, scale, hidden, convolutions };
            let decoder = Decoder::<Flex>::new(&shape, &mut random, &Default::default());
            let mut x: Vec<f32> = tokens.values.iter().map(|x| x.to_f32()).collect();
            standard.apply(&mut x);
            let x = Tensor::from_data(TensorData::new(x, [2, grid * grid, dim]), &Default::default());
            let logits = values_of(decoder.forward(&shape, x, &[]));
            let head = decoder.head(&shape, &standard);
            let expected: Vec<f64> = (0..2).flat_map(|view| truth(&head, tokens.view(view), dim, grid)).collect();
            assert_eq!(logits.len(), expected.len());
            for (found, expected) in logits.iter().zip(&expected) {
                assert!((f64::from(*found) - expected).abs() < 1e-4, "{found} is not {expected}");
            }
        }
    }

    fn values_of(tensor: Tensor<Flex, 4>) -> Vec<f32> {
        values(tensor)
    }

    /// The definition of [`SegmentationHead`], written out.
    fn truth(head: &SegmentationHead, x: &[f16], dim: usize, g: usize) -> Vec<f64> {
        let rows = |x: &[f64], k: usize, weight: &[f32], bias: &[f32]| -> Vec<f64> {
            let row = |cell: &[f64]| {
                let sum = |(w, b): (&[f32], &f32)| {
                    f64::from(*b) + w.iter().zip(cell).map(|(w, x)| f64::from(*w) * x).sum::<f64>()
                };
                weight.chunks_exact(k).zip(bias).map(sum).collect::<Vec<_>>()
            };
            x.chunks_exact(k).flat_map(row).collect()
        };
        let relu = |x: Vec<f64>| x.into_iter().map(|x| x.max(0.0)).collect::<Vec<_>>();
        let w = head.hidden;
        let mut x: Vec<f64> = x.iter().map(|x| x.to_f64()).collect();
        if w > 0 {
            x = relu(rows(&x, dim, &head.project_weight, &head.project_bias));
        }
        for (weight, bias) in &head.convolutions {
            let cell = |cell: usize, out: usize| {
                let mut sum = f64::from(bias[out]);
                for (dy, dx) in (0..3usize).flat_map(|dy| (0..3usize).map(move |dx| (dy, dx))) {
                    let (y, column) = (cell / g + dy, cell % g + dx);
                    if (1..=g).contains(&y) && (1..=g).contains(&column) {
                        let from = ((y - 1) * g + column - 1) * w;
                        let of = |i: usize| f64::from(weight[((out * w + i) * 3 + dy) * 3 + dx]) * x[from + i];
                        sum += (0..w).map(of).sum::<f64>();
                    }
                }
                sum
            };
            x = relu((0..g * g * w).map(|i| cell(i / w, i % w)).collect());
        }
        let read = rows(&x, if w > 0 { w } else { dim }, &head.readout_weight, &head.readout_bias);
        let (s, side) = (head.scale, head.scale * g);
        let at = |i: usize| {
            let (channel, y, x) = (i / side / side, i / side % side, i % side);
            let row = (channel * s + y % s) * s + x % s;
            read[(y / s * g + x / s) * head.readout_bias.len() + row]
        };
        (0..head.channels * side * side).map(at).collect()
    }
}
