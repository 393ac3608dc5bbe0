//! Blocks run again in the backward pass, and devices that share a step: neither changes what is learnt.
#![cfg(feature = "burn")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::tensor::{Int, Tensor, TensorData};
use rad_dino_edge::ErrorKind;
use rad_dino_edge::checkpoint::Config as EncoderConfig;
use rad_dino_edge::scan::Limits;
use rad_dino_train::data::{Manifest, Split, phantom};
use rad_dino_train::optim::parameters::{Flat, learnable};
use rad_dino_train::pretrain::Config;
use rad_dino_train::pretrain::config::Targets;
use rad_dino_train::pretrain::device::{Device, run_on};
use rad_dino_train::pretrain::metrics::{self, Record};
use rad_dino_train::pretrain::run::Request;
use rad_dino_train::random::Random;
use rad_dino_train::ssl::meta_arch::{Objective, Outputs, Views};
use rad_dino_train::ssl::{DinoHead, HeadWeights, Network};
use rad_dino_train::vit::linear::values;
use rad_dino_train::vit::{DropPath, Encoder, Precision, initial};
use safetensors::SafeTensors;

type A = Autodiff<Flex>;

const D: usize = 32;
const K: usize = 24;

fn tensor<const N: usize>(shape: [usize; N], random: &mut Random) -> Tensor<A, N> {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| random.normal() as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

fn network(swiglu: bool, frozen: usize, precision: Precision) -> Network<A> {
    let device = Default::default();
    let config = EncoderConfig {
        model_type: "dinov2_with_registers".to_owned(),
        hidden_size: D,
        num_hidden_layers: 4,
        num_attention_heads: 2,
        mlp_ratio: 4.0,
        image_size: 56,
        patch_size: 14,
        layer_norm_eps: 1e-6,
        qkv_bias: true,
        use_swiglu_ffn: swiglu,
        num_register_tokens: 2,
    };
    let mut weights = initial::encoder(&config, 3);
    let mut random = Random::new(8);
    for block in &mut weights.blocks {
        // branches that count
        block.layer_scale1.iter_mut().for_each(|v| *v = random.range(0.5, 1.5) as f32);
        block.layer_scale2.iter_mut().for_each(|v| *v = random.range(0.5, 1.5) as f32);
    }
    let head = HeadWeights::random(D, 32, 16, 3, K, 5);
    let inner = Network::<Flex> {
        encoder: Encoder::from_weights(&weights, &device).unwrap(),
        dino_head: DinoHead::from_weights(&head, &device).unwrap(),
        ibot_head: None,
    };
    let mut network = learnable(Network::<A>::from_inner(inner));
    network.encoder.precision = precision;
    network.encoder = network.encoder.freeze(frozen);
    network
}

fn learn(network: &Network<A>, rate: f64, recompute: bool) -> ([f32; 5], Flat<Flex>) {
    let (films, locals, patches) = (5, 3, 16);
    let mut random = Random::new(1);
    let positions: Vec<i64> = (0..2 * films * patches).filter(|i| i % 3 == 0).map(|i| i as i64).collect();
    let m = positions.len();
    let hidden: Vec<f32> = (0..2 * films * patches).map(|i| f32::from(u8::from(i % 3 == 0))).collect();
    let device = Default::default();
    let views = Views {
        globals: tensor([2 * films, 3, 56, 56], &mut random),
        locals: Some(tensor([locals * films, 3, 28, 28], &mut random)),
        masks: Tensor::from_data(TensorData::new(hidden, [2 * films, patches]), &device),
        masked: Some((
            Tensor::<A, 1, Int>::from_data(TensorData::new(positions, [m]), &device),
            Tensor::full([m, 1], 0.2, &device),
        )),
        crops: locals,
    };
    let softmax = burn::tensor::activation::softmax;
    let targets = Outputs {
        cls: softmax(tensor([2 * films, K], &mut random), 1),
        patches: Some(softmax(tensor([m, K], &mut random), 1)),
    };
    let objective = Objective { dino_weight: 1.0, ibot_weight: 1.0, koleo_weight: 0.1, student_temperature: 0.1 };
    let mut path = DropPath { rate, random: Random::new(2) };
    let path = (rate > 0.0).then_some(&mut path);
    let (losses, gradients) = network.gradients(&views, targets, &objective, path, 3.0, recompute).unwrap();
    let terms = [losses.local, losses.global, losses.ibot, losses.koleo, losses.total];
    (terms.map(|term| values(term)[0]), gradients)
}

#[test]
fn recomputed_blocks_give_the_same_losses_and_gradients() {
    for (swiglu, frozen, rate, precision) in [
        (false, 0, 0.0, Precision::F32),
        (false, 0, 0.3, Precision::F32),
        (true, 0, 0.3, Precision::F32),
        (false, 2, 0.3, Precision::F32),
        (false, 4, 0.3, Precision::F32),
        (false, 0, 0.3, Precision::Bf16),
    ] {
        let case = format!("swiglu {swiglu}, {frozen} frozen, drop path {rate}, {precision:?}");
        let network = network(swiglu, frozen, precision);
        let (losses, gradients) = learn(&network, rate, false);
        let (again, recomputed) = learn(&network, rate, true);
        assert_eq!(losses, again, "{case}");
        assert!(gradients.keys().eq(recomputed.keys()), "{case}: {:?}", recomputed.keys());
        assert_eq!(gradients.contains_key("encoder.cls_token"), frozen == 0, "{case}");
        assert_eq!(gradients.contains_key("encoder.blocks.3.attention.qkv.weight"), frozen < 4, "{case}");
        for (name, gradient) in &gradients {
            let (want, got) = (values(gradient.clone()), values(recomputed[name].clone()));
            assert!(want.iter().any(|v| *v != 0.0), "{case}: {name} is all zero");
            assert_eq!(want, got, "{case}: {name}");
        }
        // another draw of the branches is another gradient, so equality above is that of the replayed draws
        if rate > 0.0 && frozen < 4 {
            assert_ne!(losses, learn(&network, 0.0, true).0, "{case}");
        }
    }
}

fn films(dir: &Path) -> PathBuf {
    let rows = (0..10).map(|i| phantom::film(1, i, 64).write(dir, i as usize).unwrap());
    let mut rows: Vec<_> = rows.collect();
    rows.iter_mut().for_each(|row| row.split = Some(Split::Train));
    let path = dir.join("manifest.csv");
    Manifest { folder: dir.to_owned(), other_columns: Vec::new(), rows }.write(&path).unwrap();
    path
}

fn request(config: &Config, manifest: &Path, out: &Path, devices: usize) -> Request {
    Request {
        config: config.clone(),
        data: vec![manifest.to_owned()],
        out: out.to_owned(),
        init: None,
        resume: false,
        devices: vec![0; devices],
        max_minutes: None,
        stop_at: None,
        quiet: true,
        limits: Limits::default(),
    }
}

/// Losses and gradient norms, step after step.
fn losses(out: &Path) -> Vec<f64> {
    let records: Vec<Record> = metrics::read(&out.join("metrics.jsonl")).unwrap();
    let terms = |r: &Record| {
        [
            r.loss,
            r.loss_dino_local,
            r.loss_dino_global,
            r.loss_ibot,
            r.loss_koleo,
            r.target_entropy,
            r.grad_norm,
            r.grad_norm_head,
        ]
    };
    records.iter().flat_map(terms).collect()
}

/// Equal, every bit but the signs of zeros.
fn check(case: &str, out: &Path, expected: &[f64], weights: &BTreeMap<String, Vec<f32>>) {
    assert_eq!(losses(out), expected, "{case}");
    let after = tensors(out);
    assert!(after.keys().eq(weights.keys()), "{case}");
    let other: Vec<_> = weights.iter().filter(|(name, want)| after[*name] != **want).map(|(name, _)| name).collect();
    assert!(other.is_empty(), "{case}: {other:?}");
}

/// The tensors of networks and state; +0 and −0 are equal.
fn tensors(out: &Path) -> BTreeMap<String, Vec<f32>> {
    let mut all = BTreeMap::new();
    for file in ["model.safetensors", "dino_head.safetensors", "resume/state.safetensors"] {
        let bytes = std::fs::read(out.join(file)).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            all.insert(format!("{file}: {name}"), values.collect());
        }
    }
    all
}

/// One test for all: trainings beside each other in one process would share burn's state.
#[test]
fn devices_share_a_step_and_one_goes_on_where_two_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = films(dir.path());
    for (name, targets, recompute) in [("sinkhorn", Targets::Sinkhorn, false), ("centering", Targets::Centering, true)]
    {
        let mut config = Config::parse(include_str!("../configs/tiny-test.toml")).unwrap();
        config.loss.targets = targets;
        config.head.separate = recompute;
        config.train.recompute = recompute;
        config.train.accumulate = 6;
        config.train.films = 3;
        let out = |suffix: &str| dir.path().join(format!("{name}-{suffix}"));
        run_on(Device::Cpu, &request(&config, &manifest, &out("one"), 1)).unwrap();
        let (expected, weights) = (losses(&out("one")), tensors(&out("one")));
        assert_eq!(expected.len(), 6 * 8);
        for devices in [2, 3] {
            let shared = out(&devices.to_string());
            run_on(Device::Cpu, &request(&config, &manifest, &shared, devices)).unwrap();
            check(&format!("{name}, {devices} devices"), &shared, &expected, &weights);
        }
        let parts = out("parts");
        let first = Request { stop_at: Some(3), ..request(&config, &manifest, &parts, 2) };
        run_on(Device::Cpu, &first).unwrap();
        config.train.recompute = !recompute;
        run_on(Device::Cpu, &Request { resume: true, ..request(&config, &manifest, &parts, 1) }).unwrap();
        check(&format!("{name}, two devices and then one"), &parts, &expected, &weights);
    }
    let config = Config::parse(include_str!("../configs/tiny-test.toml")).unwrap();
    let odd = run_on(Device::Cpu, &request(&config, &manifest, &dir.path().join("odd"), 3)).unwrap_err();
    assert_eq!(odd.kind(), ErrorKind::Usage);
    assert!(odd.message().contains("2 micro-batches of 4 films"), "{odd}");
    let absent = Request { devices: vec![0, 1], ..request(&config, &manifest, &dir.path().join("absent"), 1) };
    assert!(run_on(Device::Cpu, &absent).unwrap_err().message().contains("no device 1 of 1"));
}
