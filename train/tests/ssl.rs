//! Heads, targets, losses, optimiser and encoder gradients against PyTorch (tests/reference/make_ssl.py).
#![cfg(feature = "burn")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule, Module, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::checkpoint::{Checkpoint, FeedForward};
use rad_dino_train::optim::adamw::AdamW;
use rad_dino_train::optim::clip::clip;
use rad_dino_train::optim::param_groups::Group;
use rad_dino_train::optim::parameters::{gradients, replace};
use rad_dino_train::ssl::centering::Center;
use rad_dino_train::ssl::sinkhorn::sinkhorn;
use rad_dino_train::ssl::{DinoHead, HeadWeights, dino_loss, ibot_loss, koleo::koleo};
use rad_dino_train::vit::Encoder;
use rad_dino_train::vit::linear::{transposed, values};
use safetensors::SafeTensors;

type A = Autodiff<Flex>;

struct Reference(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data")
}

fn load(path: &Path) -> Reference {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |b: &[u8]| b.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    Reference(file.tensors().into_iter().map(|(n, v)| (n, (v.shape().to_vec(), floats(v.data())))).collect())
}

impl Reference {
    fn new() -> Self {
        load(&data().join("ssl.safetensors"))
    }
    fn values(&self, name: &str) -> &[f32] {
        &self.0.get(name).unwrap_or_else(|| panic!("{name}")).1
    }
    fn tensor<B: Backend, const D: usize>(&self, name: &str) -> Tensor<B, D> {
        let (shape, values) = self.0.get(name).unwrap_or_else(|| panic!("{name}"));
        Tensor::from_data(TensorData::new(values.clone(), shape.clone()), &Default::default())
    }
    /// Equal to 1e-5 of the tensor's largest value (or of 1).
    fn check(&self, name: &str, found: &[f32]) {
        let expected = self.values(name);
        assert_eq!(found.len(), expected.len(), "{name}");
        let largest = expected.iter().fold(1.0f32, |m, v| m.max(v.abs()));
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-5 * largest, "{name}: {worst} of {largest}");
    }
}

#[test]
fn head_and_its_gradients() {
    let reference = Reference::new();
    let layers = (0..3).map(|i| {
        let part = |p: &str| reference.values(&format!("head.layer{i}.{p}")).to_vec();
        (part("weight"), part("bias"))
    });
    let weights = HeadWeights {
        inputs: 12,
        layers: layers.collect(),
        prototypes: reference.values("head.weight_v").to_vec(),
        gains: Some(reference.values("head.weight_g").to_vec()),
    };
    let head = DinoHead::<A>::from_weights(&weights, &Default::default()).unwrap();
    assert_eq!(head.to_weights(), weights);
    let x = reference.tensor::<A, 2>("head.x").require_grad();
    let logits = head.forward(x.clone());
    reference.check("head.logits", &values(logits.clone()));
    let grads = logits.mul(reference.tensor("head.upstream")).sum().backward();
    reference.check("head.grad.x", &values(x.grad(&grads).unwrap()));
    let flat = gradients(&head, &grads);
    reference.check("head.grad.weight_v", &values(flat["last_layer.weight_v"].clone()));
    reference.check("head.grad.weight_g", &values(flat["last_layer.weight_g"].clone()));
    for (i, (a, b)) in [(12, 20), (20, 20), (20, 8)].into_iter().enumerate() {
        let weight = values(flat[&format!("mlp.{i}.weight")].clone());
        reference.check(&format!("head.grad.layer{i}.weight"), &transposed(&weight, a, b));
        reference.check(&format!("head.grad.layer{i}.bias"), &values(flat[&format!("mlp.{i}.bias")].clone()));
    }
}

#[test]
fn targets_of_sinkhorn_and_centring() {
    let reference = Reference::new();
    let logits = reference.tensor::<Flex, 2>("targets.logits");
    let targets = sinkhorn(logits.clone(), 0.05, 3);
    reference.check("targets.sinkhorn", &values(targets.clone()));
    reference.check("targets.sinkhorn_sharp", &values(sinkhorn(logits.clone(), 0.02, 3)));
    assert!(values(targets.sum_dim(1)).iter().all(|sum| (sum - 1.0).abs() < 1e-5));
    // a constant on all logits changes nothing, up to rounding
    let shifted = values(sinkhorn(logits.clone().add_scalar(1.0), 0.05, 3));
    reference.check("targets.sinkhorn", &shifted);
    let mut center = Center::new(16, 0.9, &Default::default());
    reference.check("targets.centering_first", &values(center.targets(logits.clone(), 0.05)));
    reference.check("targets.centering_second", &values(center.targets(logits.flip([0]), 0.06)));
}

#[test]
fn losses_and_their_gradients() {
    let reference = Reference::new();
    let targets = reference.tensor::<A, 2>("dino.targets");
    let globals = reference.tensor::<A, 2>("dino.global_logits").require_grad();
    let locals = reference.tensor::<A, 2>("dino.local_logits").require_grad();
    let global = dino_loss::global(targets.clone(), globals.clone(), 0.1, 4);
    let local = dino_loss::local(targets, locals.clone(), 0.1);
    reference.check("dino.global", &values(global.clone()));
    reference.check("dino.local", &values(local.clone()));
    let grads = global.add(local).backward();
    reference.check("dino.grad.global_logits", &values(globals.grad(&grads).unwrap()));
    reference.check("dino.grad.local_logits", &values(locals.grad(&grads).unwrap()));

    let logits = reference.tensor::<A, 2>("ibot.logits").require_grad();
    let weights = reference.tensor("ibot.weights");
    let loss = ibot_loss::ibot(reference.tensor("ibot.targets"), logits.clone(), weights, 0.1, 6);
    reference.check("ibot.loss", &values(loss.clone()));
    reference.check("ibot.grad.logits", &values(logits.grad(&loss.backward()).unwrap()));

    let features = reference.tensor::<A, 2>("koleo.features").require_grad();
    let loss = koleo(features.clone());
    reference.check("koleo.loss", &values(loss.clone()));
    reference.check("koleo.grad.features", &values(features.grad(&loss.backward()).unwrap()));
}

#[derive(Module, Debug)]
struct Three<B: Backend> {
    weight: Param<Tensor<B, 2>>,
    bias: Param<Tensor<B, 2>>,
    slow: Param<Tensor<B, 2>>,
}

#[test]
fn adamw_with_groups_and_clipping() {
    let reference = Reference::new();
    let start = |name: &str| Param::from_tensor(reference.tensor(&format!("adamw.start.{name}")));
    let mut module = Three::<A> { weight: start("weight"), bias: start("bias"), slow: start("slow") };
    let mut optimizer = AdamW::<Flex>::new((0.9, 0.99), 1e-8);
    for step in 0..5 {
        // one sub-module: clipping goes by the first part of the path
        let named = |name: &str| {
            let gradient = reference.tensor::<Flex, 2>(&format!("adamw.step{step}.{name}")).reshape([15]);
            (format!("all.{name}"), gradient)
        };
        let mut grads = ["weight", "bias", "slow"].map(named).into_iter().collect();
        let norms = clip::<Flex>(&mut grads, 3.0);
        reference.check(&format!("adamw.norm{step}.value"), &[norms["all"] as f32]);
        let grads = grads.into_iter().map(|(name, g)| (name["all.".len()..].to_owned(), g)).collect();
        module = optimizer.step(module, &grads, |name| {
            Some(match name {
                "weight" => Group { learning_rate: 0.02, weight_decay: 0.3 },
                "bias" => Group { learning_rate: 0.02, weight_decay: 0.0 },
                _ => Group { learning_rate: 0.002, weight_decay: 0.3 },
            })
        });
    }
    reference.check("adamw.end.weight", &values(module.weight.val()));
    reference.check("adamw.end.bias", &values(module.bias.val()));
    reference.check("adamw.end.slow", &values(module.slow.val()));
}

#[test]
fn encoder_gradients_with_masked_patches() {
    let reference = Reference::new();
    for case in ["plain", "registers_smaller_sharded", "smaller", "swiglu_bf16"] {
        let folder = data().join("checkpoints").join(case);
        let checkpoint = Checkpoint::open(&folder).unwrap();
        let weights = checkpoint.encoder_weights().unwrap();
        let encoder = Encoder::<A>::from_weights(&weights, &Default::default()).unwrap();
        let pixels = load(&folder.join("reference.safetensors")).tensor("pixel_values");
        let masks = reference.tensor(&format!("encoder.{case}.masks"));
        let tokens = encoder.forward(pixels, Some(masks), None).unwrap();
        reference.check(&format!("encoder.{case}.tokens"), &values(tokens.clone()));
        let grads = tokens.mul(reference.tensor(&format!("encoder.{case}.upstream"))).sum().backward();
        let grads = gradients(&encoder, &grads);
        // an encoder whose weights are the gradients writes them under their published names
        let as_weights = replace(encoder.valid(), |name, _| grads.get(name).cloned());
        let found = as_weights.to_weights(checkpoint.config()).unwrap();
        let check = |name: &str, values: &[f32]| reference.check(&format!("encoder.{case}.grad.{name}"), values);
        check("embeddings.cls_token", &found.cls_token);
        check("embeddings.mask_token", &found.mask_token);
        check("embeddings.position_embeddings", &found.position_embeddings);
        check("embeddings.patch_embeddings.projection.weight", &found.patch_weight);
        check("embeddings.patch_embeddings.projection.bias", &found.patch_bias);
        if !found.register_tokens.is_empty() {
            check("embeddings.register_tokens", &found.register_tokens);
        }
        check("layernorm.weight", &found.norm_weight);
        check("layernorm.bias", &found.norm_bias);
        for (i, block) in found.blocks.iter().enumerate() {
            let check = |name: &str, values: &[f32]| check(&format!("encoder.layer.{i}.{name}"), values);
            check("norm1.weight", &block.norm1_weight);
            check("norm1.bias", &block.norm1_bias);
            check("attention.attention.query.weight", &block.query_weight);
            check("attention.attention.query.bias", &block.query_bias);
            check("attention.attention.key.weight", &block.key_weight);
            check("attention.attention.value.weight", &block.value_weight);
            check("attention.attention.value.bias", &block.value_bias);
            check("attention.output.dense.weight", &block.output_weight);
            check("attention.output.dense.bias", &block.output_bias);
            check("layer_scale1.lambda1", &block.layer_scale1);
            check("norm2.weight", &block.norm2_weight);
            check("norm2.bias", &block.norm2_bias);
            check("layer_scale2.lambda1", &block.layer_scale2);
            match &block.feed_forward {
                FeedForward::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias } => {
                    check("mlp.fc1.weight", fc1_weight);
                    check("mlp.fc1.bias", fc1_bias);
                    check("mlp.fc2.weight", fc2_weight);
                    check("mlp.fc2.bias", fc2_bias);
                }
                FeedForward::SwiGlu { in_weight, in_bias, out_weight, out_bias } => {
                    let (gate, up) = in_weight.split_at(in_weight.len() / 2);
                    check("mlp.gate_proj.weight", gate);
                    check("mlp.up_proj.weight", up);
                    let (gate, up) = in_bias.split_at(in_bias.len() / 2);
                    check("mlp.gate_proj.bias", gate);
                    check("mlp.up_proj.bias", up);
                    check("mlp.down_proj.weight", out_weight);
                    check("mlp.down_proj.bias", out_bias);
                }
            }
        }
    }
}

/// With a random head and many prototypes the losses start where DINOv2's do: section 5 of the paper's recipe.
#[test]
fn random_heads_start_at_the_uniform_loss() {
    let (films, locals, k) = (8, 8, 4096);
    let weights = HeadWeights::random(24, 64, 16, 3, k, 1);
    let head = DinoHead::<Flex>::from_weights(&weights, &Default::default()).unwrap();
    let mut random = rad_dino_train::random::Random::new(5);
    let mut features = |n: usize| -> Tensor<Flex, 2> {
        let x: Vec<f32> = (0..n * 24).map(|_| random.normal() as f32).collect();
        Tensor::from_data(TensorData::new(x, [n, 24]), &Default::default())
    };
    let targets = sinkhorn(head.forward(features(2 * films)), 0.04, 3);
    let uniform = (k as f32).ln();
    // student logits are cosines of 16 dimensions: log K plus about (0.25 / 0.1)² / 2 in the normaliser
    let one = |x: Tensor<Flex, 1>| values(x)[0];
    let global = one(dino_loss::global(targets.clone(), head.forward(features(2 * films)), 0.1, locals));
    let local = one(dino_loss::local(targets.clone(), head.forward(features(locals * films)), 0.1));
    let flat = Tensor::<Flex, 2>::zeros([2 * films, k], &Default::default());
    let exact = one(dino_loss::global(targets.clone(), flat.clone(), 0.1, locals));
    assert!((exact - 2.0 / 18.0 * uniform).abs() < 1e-4, "{exact}");
    let exact = one(dino_loss::local(targets.clone(), flat.clone().repeat_dim(0, 4), 0.1));
    assert!((exact - 16.0 / 18.0 * uniform).abs() < 1e-3, "{exact}");
    let half = Tensor::<Flex, 2>::full([2 * films, 1], 0.5, &Default::default());
    assert!((one(ibot_loss::ibot(targets, flat, half, 0.1, 2 * films)) - 0.5 * uniform).abs() < 1e-3);
    assert!((1.0..1.6).contains(&(global / (2.0 / 18.0 * uniform))), "{global}");
    assert!((1.0..1.6).contains(&(local / (16.0 / 18.0 * uniform))), "{local}");
}
