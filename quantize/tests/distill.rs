//! `distill` end to end on tiny networks, and its rounding beside the engine's kernels.
#![cfg(feature = "distill")]

use std::path::{Path, PathBuf};
use std::process::Command;

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::ErrorKind;
use rad_dino_edge::checkpoint::{Checkpoint, Config as Shape, DType};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision as FilePrecision;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_kernels::{Epilogue, Isa, PackedI8, kernels};
use rad_dino_quantize::distill::config::{Start, TeacherPrecision};
use rad_dino_quantize::distill::record::{Record, Report};
use rad_dino_quantize::distill::run::{Request, Summary, run};
use rad_dino_quantize::distill::{Config, start};
use rad_dino_quantize::{Linear, Options, convert, quantize};
use rad_dino_train::features::random;
use rad_dino_train::pretrain::metrics;
use rad_dino_train::random::Random;
use rad_dino_train::vit::linear::{linear, values};
use rad_dino_train::vit::{Precision, rounding};

/// A teacher of width 64 (four heads of 16) with random weights, twice as wide as the student `vit-test`.
fn teacher(dir: &Path) -> PathBuf {
    let config = Shape {
        model_type: "dinov2".to_owned(),
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        mlp_ratio: 4.0,
        image_size: 56,
        patch_size: 14,
        layer_norm_eps: 1e-6,
        qkv_bias: true,
        use_swiglu_ffn: false,
        num_register_tokens: 0,
    };
    let weights = random::weights(&random::Shape { config, seed: 5 }).unwrap();
    let preprocessing = Preprocessing {
        shortest_edge: 56,
        crop_size: 56,
        rescale_factor: 1.0 / 255.0,
        image_mean: [0.5; 3],
        image_std: [0.25; 3],
    };
    let folder = dir.join("teacher");
    weights.write(&folder, &preprocessing, DType::F32).unwrap();
    folder
}

/// Sixteen small pictures that differ, one that is none, and their manifest.
fn films(dir: &Path) -> PathBuf {
    let mut csv = String::from("file,source,patient_id,split\n");
    for i in 0..16u32 {
        let picture = image::GrayImage::from_fn(70 + i, 64, |x, y| {
            let (dx, dy) = (x as f32 - 20.0 - 2.0 * i as f32, y as f32 - 30.0);
            image::Luma([(200.0 * (-(dx * dx + dy * dy) / (60.0 + 40.0 * i as f32)).exp()) as u8 + (x + y) as u8 / 4])
        });
        picture.save(dir.join(format!("{i}.png"))).unwrap();
        csv.push_str(&format!("{i}.png,A,p{i},{}\n", if i % 4 == 3 { "val" } else { "train" }));
    }
    std::fs::write(dir.join("bad.png"), b"nothing").unwrap();
    csv.push_str("bad.png,A,p99,train\n");
    let manifest = dir.join("manifest.csv");
    std::fs::write(&manifest, csv).unwrap();
    manifest
}

fn config(steps: usize) -> Config {
    let mut config = Config::default();
    config.teacher.size = 56;
    config.teacher.views = 4;
    config.student.calibration = 32;
    config.train.steps = steps;
    config.train.films = 4;
    config.watch.every = steps;
    config
}

fn request(config: Config, teacher: &Path, data: &Path, out: &Path) -> Request {
    Request {
        config,
        teacher: teacher.to_owned(),
        student: "vit-test".to_owned(),
        data: vec![data.to_owned()],
        out: out.to_owned(),
        resume: false,
        max_minutes: None,
        stop_at: None,
        quiet: true,
        threads: 1,
        limits: Limits::default(),
    }
}

fn go(request: &Request) -> rad_dino_edge::Result<Summary> {
    run::<Autodiff<Flex>>(request, &Default::default())
}

fn looks(out: &Path) -> Vec<Report> {
    metrics::read(&out.join("watch.jsonl")).unwrap()
}

#[test]
fn the_student_learns_and_the_teachers_blocks_are_a_head_start() {
    let dir = tempfile::tempdir().unwrap();
    let (teacher, data) = (teacher(dir.path()), films(dir.path()));
    let mut first = Vec::new();
    for start in [Start::Random, Start::Teacher] {
        let mut config = config(40);
        config.student.start = start;
        config.teacher.precision = TeacherPrecision::Fp32;
        config.optimizer.rate = if start == Start::Random { 3e-3 } else { 3e-4 };
        let out = dir.path().join(format!("{start:?}"));
        let summary = go(&request(config, &teacher, &data, &out)).unwrap();
        let records: Vec<Record> = metrics::read(&out.join("metrics.jsonl")).unwrap();
        let mean = |part: &[Record]| part.iter().map(|r| r.loss).sum::<f64>() / part.len() as f64;
        let (before, after) = (looks(&out)[0].clone(), summary.report.unwrap());
        if start == Start::Random {
            assert!(mean(&records[30..]) < 0.8 * mean(&records[..10]), "{records:#?}");
            assert!(after.cls_standardised > before.cls_standardised + 0.1, "{before:?} {after:?}");
            assert!(after.patches_standardised > before.patches_standardised + 0.5, "{before:?} {after:?}");
        } else {
            assert!(after.patches_standardised > 0.9, "{before:?} {after:?}");
        }
        assert!(after.int8 && !before.int8 && !records[29].int8 && records[30].int8);
        assert!(out.join("curves.svg").exists() && out.join("watch.svg").exists());
        first.push(before);
        // what it leaves is a checkpoint that becomes a model file
        let shape = Checkpoint::open(&out).unwrap().config().clone();
        assert_eq!((shape.hidden_size, shape.num_attention_heads, shape.patch_size), (32, 2, 14));
        let file = dir.path().join("student.onnx");
        convert(&out, &Options::new(FilePrecision::Int8, &file)).unwrap();
        assert_eq!(Engine::from_file(&file, 1).unwrap().shape().embed_dim, 32);
    }
    assert!(first[1].patches_standardised > first[0].patches_standardised + 0.5, "{first:#?}");
}

#[test]
fn an_interrupted_run_goes_on_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (teacher, data) = (teacher(dir.path()), films(dir.path()));
    let mut config = config(6);
    config.quantisation.last = 0.5;
    config.train.accumulate = 2;
    let (whole, parts) = (dir.path().join("whole"), dir.path().join("parts"));
    assert_eq!(go(&request(config.clone(), &teacher, &data, &whole)).unwrap().steps, 6);
    let first = Request { stop_at: Some(2), ..request(config.clone(), &teacher, &data, &parts) };
    assert_eq!(go(&first).unwrap().steps, 2);
    // steps after the save, as a killed process leaves them, are taken again
    let path = parts.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).unwrap() + "{\"step\":2,\"loss\":";
    std::fs::write(&path, text).unwrap();
    assert_eq!(go(&first).unwrap_err().kind(), ErrorKind::Usage, "without --resume");
    let mut other = Request { resume: true, ..request(config.clone(), &teacher, &data, &parts) };
    other.config.loss.cls = 2.0;
    assert_eq!(go(&other).unwrap_err().kind(), ErrorKind::Usage, "another loss");
    let summary = go(&Request { resume: true, ..request(config, &teacher, &data, &parts) }).unwrap();
    assert_eq!((summary.steps, summary.total), (6, 6));
    let records = |out: &Path| -> Vec<Record> {
        let records: Vec<Record> = metrics::read(&out.join("metrics.jsonl")).unwrap();
        records.into_iter().map(|r| Record { images_per_second: 0.0, ..r }).collect()
    };
    assert_eq!(records(&parts), records(&whole));
    assert_eq!(looks(&parts), looks(&whole));
    let bytes = |out: &Path| std::fs::read(out.join("model.safetensors")).unwrap();
    assert_eq!(bytes(&parts), bytes(&whole));
}

#[test]
fn what_cannot_be_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (teacher, data) = (teacher(dir.path()), films(dir.path()));
    let out = dir.path().join("out");
    // vit-small's heads are 64 wide, this teacher's 16
    let small = Request { student: "vit-small".to_owned(), ..request(config(2), &teacher, &data, &out) };
    let error = go(&small).unwrap_err();
    assert!(error.kind() == ErrorKind::Usage && error.message().contains("blocks"), "{error}");
    let mut headed = request(config(2), &teacher, &data, &dir.path().join("head"));
    headed.config.loss.head = 1.0;
    assert!(go(&headed).unwrap_err().message().contains("dino_head.safetensors"));
    assert!(start::shape("resnet", Checkpoint::open(&teacher).unwrap().config()).is_err());
    let absent = Request { teacher: dir.path().join("nowhere"), ..request(config(2), &teacher, &data, &out) };
    assert!(go(&absent).is_err());
}

#[test]
fn rounding_is_the_files_and_the_engines() {
    let (rows, k, n) = (9, 48, 21);
    let mut random = Random::new(8);
    let mut normal = |count: usize| (0..count).map(|_| random.normal() as f32).collect::<Vec<f32>>();
    let (mut x, weight, bias) = (normal(rows * k), normal(n * k), normal(n));
    x[..k].fill(0.0);
    // the file's rounding of the weights, the engine's of the rows, the engine's product
    let ours = Linear::from_rows(&weight, &bias, |_| 1.0);
    let file = quantize(&ours);
    let kernels = kernels(Isa::Scalar).unwrap();
    let packed = PackedI8::new(Isa::Scalar, k, n, &file.values, &file.scale, &bias);
    let (mut bytes, mut scales) = (vec![128u8; rows * packed.padded_k()], vec![0.0; rows]);
    kernels.quantise(&x, k, k, &mut bytes, packed.padded_k(), &mut scales);
    let mut engine = vec![0.0; rows * n];
    kernels.linear_i8(rows, &bytes, &scales, &packed, &mut engine, n, Epilogue::Store);

    let device = Default::default();
    let tensor = Tensor::<Flex, 2>::from_data(TensorData::new(x, [rows, k]), &device);
    let layer = linear::<Flex>(&weight, Some(&bias), k, &device);
    let (by_row, by_column) = (rounding::rows(tensor.clone()), rounding::columns(layer.weight.val()));
    let steps = |values: Vec<f32>| values.into_iter().map(|v| v as i32).collect::<Vec<_>>();
    let engine_steps: Vec<i32> =
        bytes.chunks_exact(packed.padded_k()).flat_map(|row| &row[..k]).map(|q| i32::from(*q) - 128).collect();
    assert_eq!(steps(values(by_row.steps.clone())), engine_steps);
    assert_eq!(values(by_row.scale), scales);
    assert_eq!(steps(values(by_column.steps.clone())), file.values.iter().map(|q| i32::from(*q)).collect::<Vec<_>>());
    assert_eq!(values(by_column.scale), file.scale);
    // the sums are integers below 2^24, so f32 holds them exactly
    let sums = steps(values(by_row.steps.matmul(by_column.steps)));
    for (i, sum) in sums.iter().enumerate() {
        let (row, column) = (i / n, i % n);
        let exact: i32 = (0..k).map(|j| engine_steps[row * k + j] * i32::from(file.values[j * n + column])).sum();
        assert_eq!(*sum, exact);
    }
    let trained = values(rounding::linear(&layer, tensor, Precision::Int8F32));
    for (a, b) in trained.iter().zip(&engine) {
        // the engine fuses the last multiply and add
        assert!((a - b).abs() <= 4.0 * f32::EPSILON * a.abs().max(1.0), "{a} {b}");
    }
}

#[test]
fn the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let (teacher, data) = (teacher(dir.path()), films(dir.path()));
    let toml = dir.path().join("config.toml");
    let text = "[teacher]\nsize = 56\nviews = 1\n[student]\ncalibration = 12\n[train]\nsteps = 2\nfilms = 2\n";
    std::fs::write(&toml, text).unwrap();
    let distill = |extra: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rad-dino-quantize"))
            .args(["distill", "--student", "vit-test", "--quiet", "--threads", "1", "--teacher"])
            .arg(&teacher)
            .arg("--data")
            .arg(&data)
            .arg("--out")
            .arg(dir.path().join("out"))
            .args(extra)
            .output()
            .unwrap();
        (output.status.code(), output.stdout.len(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let config = toml.to_str().unwrap();
    assert_eq!(distill(&["--config", config]), (Some(0), 0, String::new()));
    assert!(dir.path().join("out/model.safetensors").exists());
    let (code, _, message) = distill(&["--config", config]);
    assert!(code == Some(2) && message.contains("already holds a run"), "{message}");
    assert_eq!(distill(&["--config", config, "--resume"]).0, Some(0));
    assert_eq!(distill(&["--max-minutes", "0"]).0, Some(2));
    std::fs::write(&toml, "[train]\nstep = 2\n").unwrap();
    let (code, _, message) = distill(&["--config", config]);
    assert!(code == Some(2) && message.contains("unknown field `step`"), "{message}");
}
