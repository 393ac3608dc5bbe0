//! `study` and fine-tuning end to end on a tiny network.
#![cfg(feature = "burn")]

use std::path::{Path, PathBuf};

use burn::backend::{Autodiff, Flex};
use rad_dino_edge::ErrorKind;
use rad_dino_edge::checkpoint::Checkpoint;
use rad_dino_edge::scan::Limits;
use rad_dino_train::data::Dataset;
use rad_dino_train::pretrain::device::{Device, on};
use rad_dino_train::pretrain::start::backbone;
use rad_dino_train::study::{Config, Request, run};
use rad_dino_train::supervised::tune::TuneJob;
use rad_dino_train::{language, pretrain, supervised};

/// 300 small films of one source: a disc where the finding is, a report that says so, an age that is the brightness.
fn films(dir: &Path) -> PathBuf {
    let mut csv = String::from("file,source,patient_id,split,findings,age,report\n");
    for i in 0..300u32 {
        let positive = (i / 2) % 2 == 0;
        let age = 20 + i % 60;
        let picture = image::GrayImage::from_fn(60, 60, |x, y| {
            let (dx, dy) = (x as f32 - 20.0 - (i % 17) as f32, y as f32 - 30.0);
            let disc = if positive && dx * dx + dy * dy < 150.0 { 110 } else { 0 };
            image::Luma([(disc + age + ((x * 3 + y * 5 + i * 7) % 40)) as u8])
        });
        picture.save(dir.join(format!("{i}.png"))).unwrap();
        let split = ["train", "train", "train", "val", "test"][i as usize % 5];
        let (finding, words) =
            if positive { ("mass", "There is a round mass.") } else { ("no_finding", "The lungs are clear.") };
        csv.push_str(&format!("{i}.png,A,p{i},{split},{finding},{age},{words}\n"));
    }
    let manifest = dir.join("manifest.csv");
    std::fs::write(&manifest, csv).unwrap();
    manifest
}

fn config(dir: &Path) -> Config {
    let tiny = include_str!("../configs/tiny-test.toml").replace("\n[", "\n[pretrain.");
    let text = format!(
        "data = [\"manifest.csv\"]\nsteps = 3\nimage_size = 56\nfractions = [0.5]\n\
         arms = [\"random\", \"start\", \"images\", \"images-without-ibot\", \"reports\", \"labels\"]\n\
         {tiny}\n[labels]\nsize = 56\nlook_every = 3\n[reports]\nsize = 56\n"
    );
    let path = dir.join("study.toml");
    std::fs::write(&path, text).unwrap();
    Config::read(&path).unwrap()
}

fn request(config: Config, out: PathBuf) -> Request {
    Request { config, out, device: Device::Cpu, threads: 1, limits: Limits::default(), quiet: true }
}

#[test]
fn every_arm_is_trained_once_probed_and_compared() {
    let dir = tempfile::tempdir().unwrap();
    films(dir.path());
    let out = dir.path().join("out");
    let config = config(dir.path());
    let outcomes = run(&request(config.clone(), out.clone())).unwrap();
    let names: Vec<String> = outcomes.iter().map(|o| o.arm.name()).collect();
    assert_eq!(names.len(), 7, "{names:?}");
    for outcome in &outcomes {
        assert_eq!(outcome.left_out, None);
        let labels: Vec<&str> = outcome.questions.iter().map(|q| q.label.as_str()).collect();
        assert_eq!(labels, ["mass", "age"], "{}", outcome.arm.name());
        assert_eq!(outcome.questions[0].truth.len(), 60);
        Checkpoint::open(&out.join("arms").join(outcome.arm.folder()).join("encoder")).unwrap();
    }
    let weights = |name: &str| std::fs::read(out.join("arms").join(name).join("encoder/model.safetensors")).unwrap();
    let all = ["random-weights", "start", "images", "images-no-ibot", "reports", "labels"].map(weights);
    for (i, a) in all.iter().enumerate() {
        assert!(all[..i].iter().all(|b| a != b), "arm {i} is another encoder than those before it");
    }
    let page = std::fs::read_to_string(out.join("study.md")).unwrap();
    assert!(page.contains("| A · mass | 60 |") && page.contains("Gain over the start"), "{page}");
    assert!(page.contains("images, 50 % of the patients"));
    assert!(std::fs::read_to_string(out.join("study.svg")).unwrap().contains("A: mass"));

    // what is done is not done again; one arm taken away is
    let stamp =
        |name: &str| std::fs::metadata(out.join("arms").join(name).join("outcome.json")).unwrap().modified().unwrap();
    let (labels, images) = (stamp("labels"), stamp("images"));
    std::fs::remove_dir_all(out.join("arms/labels")).unwrap();
    let again = run(&request(config.clone(), out.clone())).unwrap();
    assert!(stamp("labels") > labels && stamp("images") == images);
    for (a, b) in again.iter().zip(&outcomes) {
        for (p, q) in a.questions.iter().zip(&b.questions) {
            // what was read back from JSON may differ in its last digit
            let near = p.scores.iter().zip(&q.scores).all(|(x, y)| (x - y).abs() < 1e-9);
            assert!(near && p.label == q.label && p.truth == q.truth, "{}", a.arm.name());
        }
    }
    let other = Config { steps: 4, ..config };
    assert_eq!(run(&request(other, out)).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn without_reports_that_arm_is_left_out_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = films(dir.path());
    let text = std::fs::read_to_string(&manifest).unwrap();
    let bare: String = text.lines().map(|l| l[..l.rfind(',').unwrap()].to_owned() + "\n").collect();
    std::fs::write(&manifest, bare).unwrap();
    let mut config = config(dir.path());
    config.arms.retain(|kind| matches!(kind, rad_dino_train::study::arm::Kind::Reports));
    config.fractions.clear();
    let outcomes = run(&request(config, dir.path().join("out"))).unwrap();
    assert!(outcomes[0].left_out.as_ref().unwrap().contains("have a report"));
    assert!(std::fs::read_to_string(dir.path().join("out/study.md")).unwrap().contains("Left out: reports"));
}

#[test]
fn labels_and_reports_are_learnt() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = films(dir.path());
    let dataset = Dataset::read(&[manifest]).unwrap();
    let tiny = pretrain::Config::parse(include_str!("../configs/tiny-test.toml")).unwrap();
    let start = backbone(&tiny, None).unwrap();
    let folder = dir.path().join("start");
    start.weights.write(&folder, &start.preprocessing, rad_dino_edge::checkpoint::DType::F32).unwrap();
    let config = supervised::Config {
        size: 56,
        steps: 240,
        films: 16,
        accumulate: 1,
        rate: 2e-3,
        head_rate: 2e-2,
        layer_decay: 1.0,
        look_every: 60,
        ..supervised::Config::default()
    };
    let limits = Limits::default();
    let job = || TuneJob { config: &config, dataset: &dataset, encoder: &folder, limits, quiet: true };
    let (tuned, _) = on(Device::Cpu, job()).unwrap();
    assert!(tuned.score > 0.7, "{:?}", tuned.looks);
    assert_eq!(on(Device::Cpu, job()).unwrap().0, tuned, "the same again");

    let device = Default::default();
    let pairing = supervised::Config { steps: 60, rate: 1e-3, head_rate: 1e-3, ..config };
    let bert = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data/bert");
    for text in [None, Some(bert.as_path())] {
        let (weights, preprocessing) = (&start.weights, &start.preprocessing);
        let paired =
            language::pair::<Autodiff<Flex>>(&pairing, &dataset, weights, text, preprocessing, limits, true, &device)
                .unwrap();
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        assert_eq!(paired.pairs, 180);
        assert!(mean(&paired.losses[50..]) < mean(&paired.losses[..10]), "{text:?}: {:?}", paired.losses);
    }
}
