//! The projection head: linear layers with GELU between, L2 norm, weight-normalised prototypes.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rad_dino_edge::{Error, ErrorKind, Result};

use crate::random::Random;
use crate::vit::gelu::gelu;
use crate::vit::initial::truncated_normal;
use crate::vit::linear::{linear, matrix, transposed, values};

/// logit_k = g_k · ⟨w_k / ‖w_k‖, v⟩ with v the L2-normalised output of the layers.
#[derive(Module, Debug)]
pub struct DinoHead<B: Backend> {
    /// The layers before the L2 norm, GELU between them.
    pub mlp: Vec<Linear<B>>,
    /// w and g.
    pub last_layer: Prototypes<B>,
}

/// The weight-normalised last layer, without bias.
#[derive(Module, Debug)]
pub struct Prototypes<B: Backend> {
    /// g, [K, 1]; None = all 1 and not trained.
    pub weight_g: Option<Param<Tensor<B, 2>>>,
    /// w, [K, bottleneck]
    pub weight_v: Param<Tensor<B, 2>>,
}

/// A head's weights on the host, as `dino_head.safetensors` stores them.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadWeights {
    /// D.
    pub inputs: usize,
    /// Weight [out, in] and bias [out] of each layer.
    pub layers: Vec<(Vec<f32>, Vec<f32>)>,
    /// [K, bottleneck]
    pub prototypes: Vec<f32>,
    /// [K]; None = all 1 and not trained.
    pub gains: Option<Vec<f32>>,
}

impl HeadWeights {
    /// DINOv2's initialisation: linear layers normal with σ = 0.02 cut at 2σ, biases 0; prototypes uniform as
    /// PyTorch initialises a linear layer (their length does not matter); g = 1.
    pub fn random(inputs: usize, hidden: usize, bottleneck: usize, layers: usize, k: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let layers = layers.max(1);
        let mut widths = vec![inputs];
        widths.extend(std::iter::repeat_n(hidden, layers - 1));
        widths.push(bottleneck);
        let layers = widths
            .windows(2)
            .map(|pair| (truncated_normal(pair[0] * pair[1], &mut random), vec![0.0; pair[1]]))
            .collect();
        let bound = 1.0 / (bottleneck as f64).sqrt();
        let prototypes = (0..k * bottleneck).map(|_| random.range(-bound, bound) as f32).collect();
        HeadWeights { inputs, layers, prototypes, gains: Some(vec![1.0; k]) }
    }

    /// Width of what the prototypes see.
    pub fn bottleneck(&self) -> usize {
        self.layers.last().map_or(self.inputs, |(_, bias)| bias.len())
    }

    /// K.
    pub fn count(&self) -> usize {
        self.prototypes.len() / self.bottleneck().max(1)
    }

    /// Checks that the layers follow on each other.
    ///
    /// # Errors
    /// `Checkpoint`, naming the layer.
    pub fn check(&self) -> Result<()> {
        let refuse = |what: String| {
            Error::new(ErrorKind::Checkpoint, format!("projection head: {what}"))
                .hint("the head and the encoder must belong together")
        };
        let mut width = self.inputs;
        for (i, (weight, bias)) in self.layers.iter().enumerate() {
            if weight.is_empty() || bias.is_empty() || weight.len() != width * bias.len() {
                return Err(refuse(format!(
                    "layer {i} has {} weights, expected {width} × {}",
                    weight.len(),
                    bias.len()
                )));
            }
            width = bias.len();
        }
        if self.prototypes.is_empty() || !self.prototypes.len().is_multiple_of(width) {
            return Err(refuse(format!("{} prototype values do not divide by {width}", self.prototypes.len())));
        }
        match &self.gains {
            Some(gains) if gains.len() != self.count() => {
                Err(refuse(format!("{} gains for {} prototypes", gains.len(), self.count())))
            }
            _ => Ok(()),
        }
    }
}

impl<B: Backend> DinoHead<B> {
    /// From weights on the host.
    ///
    /// # Errors
    /// Those of [`HeadWeights::check`].
    pub fn from_weights(weights: &HeadWeights, device: &B::Device) -> Result<Self> {
        weights.check()?;
        let mut inputs = weights.inputs;
        let mut mlp = Vec::with_capacity(weights.layers.len());
        for (weight, bias) in &weights.layers {
            mlp.push(linear(weight, Some(bias), inputs, device));
            inputs = bias.len();
        }
        let k = weights.count();
        Ok(DinoHead {
            mlp,
            last_layer: Prototypes {
                weight_g: weights.gains.as_ref().map(|gains| matrix(gains, k, 1, device)),
                weight_v: matrix(&weights.prototypes, k, weights.bottleneck(), device),
            },
        })
    }

    /// Back to the host.
    pub fn to_weights(&self) -> HeadWeights {
        let layers = self.mlp.iter().map(|layer| {
            let [inputs, outputs] = layer.weight.dims();
            let bias = layer.bias.as_ref().map_or_else(|| vec![0.0; outputs], |bias| values(bias.val()));
            (transposed(&values(layer.weight.val()), inputs, outputs), bias)
        });
        HeadWeights {
            inputs: self.mlp.first().map_or(0, |layer| layer.weight.dims()[0]),
            layers: layers.collect(),
            prototypes: values(self.last_layer.weight_v.val()),
            gains: self.last_layer.weight_g.as_ref().map(|gains| values(gains.val())),
        }
    }

    /// Features [n, D] to logits [n, K], before any temperature.
    pub fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let mut x = x;
        for (i, layer) in self.mlp.iter().enumerate() {
            x = layer.forward(if i == 0 { x } else { gelu(x) });
        }
        self.last_layer.forward(normalized(x, 1e-12))
    }
}

impl<B: Backend> Prototypes<B> {
    /// [n, bottleneck] to [n, K].
    pub fn forward(&self, v: Tensor<B, 2>) -> Tensor<B, 2> {
        let weights = normalized(self.weight_v.val(), 0.0);
        let weights = match &self.weight_g {
            Some(gains) => weights.mul(gains.val()),
            None => weights,
        };
        v.matmul(weights.transpose())
    }
}

/// Rows divided by their length, which counts as at least `epsilon`.
pub fn normalized<B: Backend>(x: Tensor<B, 2>, epsilon: f64) -> Tensor<B, 2> {
    let length = x.clone().mul(x.clone()).sum_dim(1).sqrt();
    x.div(if epsilon > 0.0 { length.clamp_min(epsilon) } else { length })
}
