//! What the student starts as.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::checkpoint::{Config as Shape, EncoderWeights};
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::pretrain::start::architecture;
use rad_dino_train::random::Random;
use rad_dino_train::vit::linear::linear;
use rad_dino_train::vit::{Encoder, initial};

use super::config::{Config, Start};
use super::least_squares::fit;
use super::network::{Scales, Student};
use super::project::{possible, project};
use super::teacher::{Teacher, push_grey};
use super::views::Views;

/// Views a forward pass when adapters are fitted.
const BATCH: usize = 16;
/// Ridge of the adapter on CLS, of which a view has one.
const FEW: f64 = 0.1;

/// The shape of a named student: the teacher's but for width, heads and depth.
///
/// # Errors
/// `Usage` for an unknown name.
pub fn shape(name: &str, teacher: &Shape) -> Result<Shape> {
    let (hidden_size, num_attention_heads, num_hidden_layers) = architecture(name).ok_or_else(|| {
        Error::new(ErrorKind::Usage, format!("--student {name}: unknown")).hint("vit-tiny or vit-small")
    })?;
    let shape = Shape { hidden_size, num_attention_heads, num_hidden_layers, ..teacher.clone() };
    shape.check()?;
    Ok(shape)
}

/// The student at step 0: its encoder as `student.start` says; where that is the teacher's, its adapters are the linear
/// maps that bring its features nearest to the teacher's on the calibration views.
///
/// # Errors
/// `Usage` when the teacher's blocks do not fit the shape; those of the views.
pub fn student<B: Backend>(
    config: &Config,
    teacher: &Teacher,
    shape: &Shape,
    views: &Views,
    scales: &Scales,
    device: &B::Device,
    note: &dyn Fn(&str),
) -> Result<Student<B>> {
    let pixels = calibration::<B>(config.student.calibration, teacher, views, device)?;
    let weights = match config.student.start {
        Start::Random => {
            note("student: random");
            return blank(shape, views.layout.dim, config.train.seed, device);
        }
        Start::Teacher if teacher.weights.config == *shape => {
            note("student: the teacher's blocks, copied");
            teacher.weights.clone()
        }
        Start::Teacher => {
            possible(&teacher.weights.config, shape)?;
            let projected = project::<B>(&teacher.weights, shape, pixels.clone(), config.student.ridge, device)?;
            note(&format!(
                "student: the teacher's blocks, projected; {:.1} % of its stream kept",
                100.0 * projected.kept
            ));
            projected.weights
        }
    };
    with_adapters(&weights, views, scales, pixels, config.student.ridge, device)
}

/// Of `shape`, to be filled in; adapters to width `dim` drawn from `seed`.
///
/// # Errors
/// As [`Encoder::from_weights`].
pub fn blank<B: Backend>(shape: &Shape, dim: usize, seed: u64, device: &B::Device) -> Result<Student<B>> {
    let encoder = Encoder::from_weights(&initial::encoder(shape, seed), device)?;
    let adapter = |seed: u64| {
        let weight = initial::truncated_normal(shape.hidden_size * dim, &mut Random::new(seed));
        linear(&weight, Some(&vec![0.0; dim]), shape.hidden_size, device)
    };
    Ok(Student { encoder, cls: adapter(seed ^ 1), patches: adapter(seed ^ 2) })
}

fn with_adapters<B: Backend>(
    weights: &EncoderWeights,
    views: &Views,
    scales: &Scales,
    pixels: Tensor<B, 4>,
    ridge: f64,
    device: &B::Device,
) -> Result<Student<B>> {
    let encoder = Encoder::<B>::from_weights(weights, device)?;
    let [n, ..] = pixels.dims();
    let (mut cls, mut patches) = (Vec::new(), Vec::new());
    for first in (0..n).step_by(BATCH) {
        let part = pixels.clone().narrow(0, first, BATCH.min(n - first));
        let (c, p) = encoder.split(encoder.forward(part, None, None)?);
        let [m, count, d] = p.dims();
        cls.push(c);
        patches.push(p.reshape([m * count, d]));
    }
    let (dim, count) = (views.layout.dim, views.layout.patches);
    let (mut cls_target, mut patch_target) = (Vec::new(), Vec::new());
    for i in spread(views.len(), n) {
        let tokens = views.get(i)?.tokens;
        cls_target.extend_from_slice(&tokens[..dim]);
        patch_target.extend_from_slice(&tokens[dim..]);
    }
    scales.cls.apply(&mut cls_target);
    scales.patches.apply(&mut patch_target);
    let adapter = |x: Vec<Tensor<B, 2>>, y: Vec<f32>, rows: usize, ridge: f64| -> Result<Linear<B>> {
        let y = Tensor::<B, 2>::from_data(TensorData::new(y, [rows, dim]), device);
        let found = fit(&Tensor::cat(x, 0), &y, &Tensor::ones([rows, 1], device), ridge)?;
        Ok(Linear {
            weight: Param::from_tensor(found.weight),
            bias: Some(Param::from_tensor(found.bias.reshape([dim]))),
        })
    };
    let (cls, patches) = (adapter(cls, cls_target, n, FEW)?, adapter(patches, patch_target, n * count, ridge)?);
    Ok(Student { encoder, cls, patches })
}

/// Pixels [n, 3, S, S] of evenly spread views.
fn calibration<B: Backend>(most: usize, teacher: &Teacher, views: &Views, device: &B::Device) -> Result<Tensor<B, 4>> {
    let side = views.layout.side;
    let mut pixels = Vec::new();
    let chosen = spread(views.len(), most);
    let n = chosen.len();
    for i in chosen {
        push_grey(&views.get(i)?.grey, &teacher.preprocessing, &mut pixels);
    }
    Ok(Tensor::from_data(TensorData::new(pixels, [n, 3, side, side]), device))
}

/// At most `most` of 0..n, evenly.
fn spread(n: usize, most: usize) -> Vec<usize> {
    let taken = n.min(most);
    (0..taken).map(|k| k * n / taken.max(1)).collect()
}
