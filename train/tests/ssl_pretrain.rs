//! `pretrain` end to end on a tiny network.
#![cfg(feature = "burn")]

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use burn::backend::{Autodiff, Flex};
use rad_dino_edge::checkpoint::Checkpoint;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{ErrorKind, Result};
use rad_dino_train::pretrain::Config;
use rad_dino_train::pretrain::checkup::Report;
use rad_dino_train::pretrain::config::{Export, Targets};
use rad_dino_train::pretrain::device::{Device, run_on};
use rad_dino_train::pretrain::metrics::{self, Record};
use rad_dino_train::pretrain::run::{Request, Summary, run};
use rad_dino_train::vit::Precision;

/// Twelve small pictures that differ, one that is none, and their manifest.
fn films(dir: &Path) -> PathBuf {
    let mut csv = String::from("file,source,patient_id,split\n");
    for i in 0..12u32 {
        let picture = image::GrayImage::from_fn(70 + i, 64, |x, y| {
            let (dx, dy) = (x as f32 - 20.0 - 3.0 * i as f32, y as f32 - 30.0);
            image::Luma([(200.0 * (-(dx * dx + dy * dy) / (60.0 + 40.0 * i as f32)).exp()) as u8 + (x + y) as u8 / 4])
        });
        picture.save(dir.join(format!("{i}.png"))).unwrap();
        csv.push_str(&format!("{i}.png,A,p{i},{}\n", if i == 11 { "test" } else { "train" }));
    }
    std::fs::write(dir.join("bad.png"), b"nothing").unwrap();
    csv.push_str("bad.png,A,p99,train\n");
    let manifest = dir.join("manifest.csv");
    std::fs::write(&manifest, csv).unwrap();
    manifest
}

fn config() -> Config {
    Config::parse(include_str!("../configs/tiny-test.toml")).unwrap()
}

fn request(config: Config, manifest: &Path, out: &Path) -> Request {
    Request {
        config,
        data: vec![manifest.to_owned()],
        out: out.to_owned(),
        init: None,
        resume: false,
        devices: Vec::new(),
        max_minutes: None,
        stop_at: None,
        quiet: true,
        limits: Limits::default(),
    }
}

/// One training at a time, as in the program: two in one process share burn's state, and their sums' order is then not
/// the same each time.
static ALONE: Mutex<()> = Mutex::new(());

fn go(request: &Request) -> Result<Summary> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    run::<Autodiff<Flex>>(request, &Default::default())
}

/// What must repeat: everything but times.
fn losses(out: &Path) -> Vec<Record> {
    let timeless = |r: Record| Record { images_per_second: 0.0, wait_seconds: 0.0, step_seconds: 0.0, ..r };
    metrics::read(&out.join("metrics.jsonl")).unwrap().into_iter().map(timeless).collect()
}

#[test]
fn an_interrupted_run_goes_on_bit_for_bit() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = films(dir.path());
    for (name, targets) in [("sinkhorn", Targets::Sinkhorn), ("centering", Targets::Centering)] {
        let mut config = config();
        config.loss.targets = targets;
        config.head.separate = targets == Targets::Centering;
        let (whole, parts) = (dir.path().join(format!("{name}-whole")), dir.path().join(format!("{name}-parts")));
        assert_eq!(go(&request(config.clone(), &manifest, &whole)).unwrap().steps, 6);
        let first = Request { stop_at: Some(3), ..request(config.clone(), &manifest, &parts) };
        assert_eq!(go(&first).unwrap().steps, 3);
        // steps after the save, as a killed process leaves them, are taken again
        let path = parts.join("metrics.jsonl");
        let text = std::fs::read_to_string(&path).unwrap() + "{\"step\":3,\"loss\":";
        std::fs::write(&path, text).unwrap();
        assert_eq!(go(&first).unwrap_err().kind(), ErrorKind::Usage);
        let second = Request { resume: true, ..request(config.clone(), &manifest, &parts) };
        let summary = go(&second).unwrap();
        assert_eq!((summary.steps, summary.total), (6, 6));
        let expected = losses(&whole);
        assert_eq!(expected.len(), 6);
        // how many bad films were met is counted anew by each process
        let compared = |r: &Record| Record { skipped: 0, ..r.clone() };
        let pairs = losses(&parts).iter().map(compared).eq(expected.iter().map(compared));
        assert!(pairs, "{:#?}\n{:#?}", losses(&parts), expected);
        for folder in ["", "student"] {
            let read = |out: &Path| std::fs::read(out.join(folder).join("model.safetensors")).unwrap();
            assert_eq!(read(&whole), read(&parts), "{name} {folder}");
        }
        let mut other = config;
        other.optimizer.rate *= 2.0;
        let error = go(&Request { resume: true, ..request(other, &manifest, &parts) }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}

#[test]
fn it_learns_and_leaves_a_checkpoint_to_start_from() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = films(dir.path());
    let out = dir.path().join("out");
    let mut config = config();
    config.train.steps = 30;
    config.train.save_every = 100;
    config.train.export = Export::Student;
    config.optimizer.rate = 3e-3;
    config.optimizer.head_rate = 3e-3;
    let summary = go(&request(config.clone(), &manifest, &out)).unwrap();
    assert_eq!((summary.steps, summary.skipped), (30, 1));
    let records = losses(&out);
    let dino = |r: &Record| r.loss_dino_local + r.loss_dino_global;
    let mean = |part: &[Record]| part.iter().map(dino).sum::<f64>() / part.len() as f64;
    assert!(mean(&records[25..]) < mean(&records[..5]), "{records:#?}");
    let student = Checkpoint::open(&out).unwrap();
    let weights = student.encoder_weights().unwrap();
    assert_eq!(student.config().num_register_tokens, 2);
    assert_eq!(student.preprocessing().unwrap().crop_size, 56);
    let teacher = Checkpoint::open(&out.join("teacher")).unwrap().encoder_weights().unwrap();
    assert_ne!(weights, teacher);
    assert!(weights.mask_token.iter().any(|v| *v != 0.0), "the mask token learns");
    for file in ["dino_head.safetensors", "teacher/dino_head.safetensors", "curves.svg", "resume/state.safetensors"] {
        assert!(out.join(file).is_file(), "{file}");
    }

    // from that checkpoint, first block frozen, heads from features
    let next = dir.path().join("next");
    config.train.steps = 2;
    config.train.freeze_blocks = 1;
    config.head.start = rad_dino_train::pretrain::config::Start::Features;
    config.optimizer.warmup = 0.0;
    go(&Request { init: Some(out.clone()), ..request(config, &manifest, &next) }).unwrap();
    let after = Checkpoint::open(&next).unwrap().encoder_weights().unwrap();
    assert_eq!(after.blocks[0], weights.blocks[0]);
    assert_eq!(after.patch_weight, weights.patch_weight);
    assert_ne!(after.blocks[1], weights.blocks[1]);
}

#[test]
fn time_limits_and_missing_devices() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = films(dir.path());
    let out = dir.path().join("timed");
    let limited = Request { max_minutes: Some(0.3), ..request(config(), &manifest, &out) };
    let started = std::time::Instant::now();
    let summary = go(&limited).unwrap();
    assert!(started.elapsed().as_secs() < 30 && summary.steps > 4, "{summary:?}");
    #[cfg(not(feature = "tch"))]
    assert!(run_on(Device::TorchCpu, &limited).unwrap_err().message().contains("tch"));
    #[cfg(not(feature = "cuda"))]
    assert!(run_on(Device::Cuda, &limited).unwrap_err().message().contains("cuda"));
}

/// 260 small films of one source, a bright disc where the finding is, and their manifest.
fn labelled(dir: &Path) -> PathBuf {
    let mut csv = String::from("file,source,patient_id,split,findings\n");
    for i in 0..260u32 {
        let positive = i % 2 == 0;
        let picture = image::GrayImage::from_fn(60, 60, |x, y| {
            let (dx, dy) = (x as f32 - 30.0 - (i % 7) as f32, y as f32 - 30.0);
            let disc = if positive && dx * dx + dy * dy < 150.0 { 120 } else { 0 };
            image::Luma([disc + ((x * 3 + y * 5 + i * 7) % 60) as u8])
        });
        picture.save(dir.join(format!("{i}.png"))).unwrap();
        let split = if i < 220 { "train" } else { "val" };
        csv.push_str(&format!("{i}.png,A,p{i},{split},{}\n", if positive { "mass" } else { "no_finding" }));
    }
    let manifest = dir.join("manifest.csv");
    std::fs::write(&manifest, csv).unwrap();
    manifest
}

#[test]
fn the_student_is_examined_on_the_way_and_training_does_not_notice() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = labelled(dir.path());
    let mut config = config();
    let blind = dir.path().join("blind");
    go(&request(config.clone(), &manifest, &blind)).unwrap();
    config.watch.every = 3;
    let watched = dir.path().join("watched");
    let first = Request { stop_at: Some(4), ..request(config.clone(), &manifest, &watched) };
    go(&first).unwrap();
    go(&Request { resume: true, stop_at: None, ..first }).unwrap();
    let reports: Vec<Report> = metrics::read(&watched.join("watch.jsonl")).unwrap();
    assert_eq!(reports.iter().map(|r| r.step).collect::<Vec<_>>(), [0, 3, 6]);
    for report in &reports {
        let [mark] = &report.marks[..] else { panic!("{report:?}") };
        assert_eq!((mark.source.as_str(), mark.question.as_str()), ("A", "mass"));
        assert_eq!((mark.films, mark.positives), (40, 20));
        // a bright disc is told even by a random network
        assert!(mark.linear_auroc.unwrap() > 0.9 && (0.0..=1.0).contains(&mark.knn_auroc), "{mark:?}");
        assert!(report.rank > 1.0);
    }
    assert!(std::fs::read_to_string(watched.join("watch.svg")).unwrap().contains("A: mass, k-NN AUROC"));
    let read = |out: &Path| std::fs::read(out.join("model.safetensors")).unwrap();
    assert_eq!(read(&blind), read(&watched));
}

#[test]
fn bf16_products_follow_single_precision() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = films(dir.path());
    let mut config = config();
    config.model.drop_path = 0.0;
    // the CLS tokens of a fresh network are nearly equal, so their nearest neighbours are a matter of rounding
    config.loss.koleo = 0.0;
    let single = dir.path().join("single");
    go(&request(config.clone(), &manifest, &single)).unwrap();
    config.train.precision = Precision::Bf16;
    let mixed = dir.path().join("mixed");
    go(&request(config, &manifest, &mixed)).unwrap();
    let (single, mixed) = (losses(&single), losses(&mixed));
    for (a, b) in single.iter().zip(&mixed) {
        assert!((a.loss - b.loss).abs() < 0.01 * a.loss.abs() && a.loss != b.loss, "{a:?} {b:?}");
    }
    // only the first step's gradients are of the same weights; later ones magnify the first's rounding
    let (a, b) = (&single[0], &mixed[0]);
    assert!((a.grad_norm - b.grad_norm).abs() < 0.05 * a.grad_norm, "{a:?} {b:?}");
}
