//! Two model files beside each other, and a model file fitted to a site's own films.

use std::fs;
use std::path::{Path, PathBuf};

use rad_dino_edge::ErrorKind;
use rad_dino_edge::checkpoint::{ProbeHead, Probes, ProbesConfig};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::{Calibration, Finding, Heads, OutOfDistribution, Precision};
use rad_dino_edge::model::onnx::OnnxFile;
use rad_dino_edge::scan::Limits;
use rad_dino_quantize::compare::{self, compare};
use rad_dino_quantize::site::{self, calibrate};
use rad_dino_quantize::{Options, convert};
use rad_dino_train::data::Split;
use rad_dino_train::features::film;

const FILMS: u32 = 160;

struct Site {
    folder: tempfile::TempDir,
    manifest: PathBuf,
}

impl Site {
    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// A small checkpoint with a finding and sex, as fp32 and int8; films whose truth mostly follows the fp32 logit.
fn site() -> Site {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data/checkpoints/plain");
    fs::create_dir(at("checkpoint")).unwrap();
    for entry in fs::read_dir(case).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, at("checkpoint").join(path.file_name().unwrap())).unwrap();
    }
    let width = rad_dino_edge::checkpoint::Checkpoint::open(&at("checkpoint")).unwrap().config().hidden_size;
    let head = |seed: usize| ProbeHead {
        outputs: 1,
        weight: (0..2 * width).map(|i| ((i * seed % 17) as f32 - 8.0) / 8.0).collect(),
        bias: vec![0.0],
        ..ProbeHead::default()
    };
    let calibration = Calibration { scale: 1.0, offset: 0.0 };
    let heads = Heads {
        findings: vec![Finding { label: "mass".to_owned(), threshold: 0.5, calibration }],
        sex: Some(calibration),
        ..Heads::default()
    };
    let basis = base64(&vec![0u8; 2 * 2 * width]);
    let limit =
        OutOfDistribution { limit: 1.0, dim: width, rank: 1, variances: vec![1.0, 1.0], basis, detectors: vec![] };
    let probes = Probes {
        config: ProbesConfig {
            schema: "rad-dino-edge/probes/1".to_owned(),
            heads,
            out_of_distribution: Some(limit),
            ..ProbesConfig::default()
        },
        heads: [("findings", head(5)), ("sex", head(3))].map(|(name, head)| (name.to_owned(), head)).into(),
        segmentation: None,
    };
    probes.write(&at("checkpoint"), width).unwrap();
    for (precision, name) in [(Precision::Fp32, "fp32.onnx"), (Precision::Int8, "int8.onnx")] {
        convert(&at("checkpoint"), &Options::new(precision, at(name))).unwrap();
    }
    let engine = Engine::from_file(&at("fp32.onnx"), 1).unwrap();
    let mut logits = Vec::new();
    for i in 0..FILMS {
        let wave = |x: u32, y: u32| {
            let (x, y) = (f64::from(x * (1 + i % 7)) / 30.0, f64::from(y * (1 + i % 5)) / 25.0);
            128.0 + 70.0 * (x + f64::from(i)).sin() + 50.0 * (y - f64::from(i) / 3.0).cos()
        };
        let path = at(&format!("{i}.png"));
        image::GrayImage::from_fn(64, 60, |x, y| image::Luma([wave(x, y) as u8])).save(&path).unwrap();
        let pixels = film::prepare(&path, &Limits::default(), engine.preprocessing().unwrap()).unwrap();
        logits.push(engine.run(&pixels, 1).unwrap().get("findings_logits").unwrap().1[0]);
    }
    let mut sorted = logits.clone();
    sorted.sort_by(f32::total_cmp);
    let middle = sorted[sorted.len() / 2];
    let mut csv = String::from("file,source,split,patient_id,sex,findings\n");
    for (i, logit) in logits.iter().enumerate() {
        let positive = (*logit > middle) != (i % 5 == 0);
        csv += &format!(
            "{i}.png,S,{},p{},{},{}\n",
            ["train", "val", "test", "train"][i % 4],
            i / 2,
            if i < 6 { "F" } else { "" },
            if positive { "mass" } else { "no_finding" }
        );
    }
    let manifest = at("manifest.csv");
    fs::write(&manifest, csv).unwrap();
    Site { folder, manifest }
}

/// Standard base64 without a dependency: the test's basis is all zeros.
fn base64(zeros: &[u8]) -> String {
    let full = "A".repeat(zeros.len() / 3 * 4);
    full + ["", "AA==", "AAA="][zeros.len() % 3]
}

#[test]
fn two_files_are_compared() {
    let site = site();
    let options = compare::Options {
        data: vec![site.manifest.clone()],
        split: Split::Test,
        films: None,
        rounds: 2,
        threads: 1,
        limits: Limits::default(),
    };
    let run = |a: &str, b: &str| {
        compare(&site.at(a), &site.at(b), &options, |_| Some(12.5), |_, _| {}, |path, e| panic!("{path:?} {e}"))
            .unwrap()
    };
    let same = run("fp32.onnx", "fp32.onnx");
    assert_eq!((same.tokens.films, same.tokens.largest_difference), (40, 0.0));
    assert!(same.tokens.cls_worst > 1.0 - 1e-9 && same.metrics.len() >= 5, "{same:?}");
    for row in &same.metrics {
        let difference = row.difference.unwrap();
        let zero = |x: Option<f64>| x.is_none_or(|x| x == 0.0);
        assert!(zero(difference.value) && zero(difference.low) && zero(difference.high), "{row:?}");
    }
    assert!(same.decisions.iter().all(|d| d.agree == 40 && d.lost + d.gained == 0));
    let found = run("fp32.onnx", "int8.onnx");
    assert!(found.tokens.cls_mean > 0.99 && found.tokens.cls_mean < 1.0 && found.tokens.largest_difference > 0.0);
    assert!(found.candidate.bytes < found.reference.bytes && found.candidate.peak_rss_mb == Some(12.5));
    let auroc = found.metrics.iter().find(|row| row.metric == "auroc" && row.label == "mass").unwrap();
    let (a, b, d) = (auroc.reference.value.unwrap(), auroc.candidate.value.unwrap(), auroc.difference.unwrap());
    assert!((d.value.unwrap() - (b - a)).abs() < 1e-12 && d.low <= d.value && d.value <= d.high, "{auroc:?}");
    let text = compare::text(&found);
    assert!(text.contains("findings mass auroc") && text.contains("CLS cosine"), "{text}");
}

#[test]
fn a_site_fits_what_its_labels_can_tell() {
    let site = site();
    let options = site::Options {
        data: vec![site.manifest.clone()],
        fit: vec![Split::Train, Split::Val],
        model_version: None,
        plot: Some(site.at("plot.svg")),
        threads: 1,
        limits: Limits::default(),
    };
    let (model, out) = (site.at("fp32.onnx"), site.at("site.onnx"));
    let outcome = calibrate(&model, &out, &options, |_, _| {}, |path, e| panic!("{path:?} {e}")).unwrap();
    assert_eq!(outcome.films, [120, 40]);
    let [mass] = &outcome.labels[..] else { panic!("{outcome:?}") };
    assert!(mass.ece[1].unwrap() < mass.ece[0].unwrap(), "{outcome:?}");
    assert!(outcome.notes.iter().any(|note| note.starts_with("sex female: 5 films with and 0 without")), "{outcome:?}");
    assert!(outcome.limit.unwrap()[1] > 1.0 && outcome.flagged.unwrap()[0] == 1.0, "{outcome:?}");
    assert!(outcome.flagged.unwrap()[1] < 0.2, "{outcome:?}");
    let (before, after) = (fs::read(&model).unwrap(), fs::read(&out).unwrap());
    let (a, b) = (OnnxFile::parse(&before).unwrap(), OnnxFile::parse(&after).unwrap());
    assert!(a.tensors.iter().zip(&b.tensors).all(|((n, x), (m, y))| n == m && x.raw == y.raw), "weights are untouched");
    let engine = Engine::from_file(&out, 1).unwrap();
    let manifest = engine.manifest().unwrap();
    assert_eq!(manifest.parent_sha256, outcome.parent_sha256);
    assert_eq!((manifest.version.as_str(), engine.sha256()), ("1+site", outcome.sha256.as_str()));
    assert_eq!(manifest.heads.findings[0].calibration, mass.calibration[1]);
    assert!(manifest.metrics.iter().any(|m| m.metric == "ece" && m.source == "S" && m.n == 40));
    assert!(fs::read_to_string(site.at("plot.svg")).unwrap().contains("mass: ECE"));
}

#[test]
fn too_few_labels_are_refused_and_nothing_is_written() {
    let site = site();
    let few: String = fs::read_to_string(&site.manifest).unwrap().lines().take(31).map(|l| format!("{l}\n")).collect();
    fs::write(site.at("few.csv"), few).unwrap();
    let options = site::Options {
        data: vec![site.at("few.csv")],
        fit: vec![Split::Train, Split::Val],
        model_version: None,
        plot: None,
        threads: 1,
        limits: Limits::default(),
    };
    let out = site.at("site.onnx");
    let error = calibrate(&site.at("fp32.onnx"), &out, &options, |_, _| {}, |_, _| {}).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.message().contains("too few labelled films") && !out.exists(), "{error}");
}
