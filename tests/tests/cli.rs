//! The command line as its users meet it: contract 3, field by field, on a small model with all heads.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::{ProbeHead, Probes, ProbesConfig};
use rad_dino_edge::model::manifest::{Calibration, Finding, Heads, OutOfDistribution, Precision};
use rad_dino_quantize::{Options, convert};
use rad_dino_tests::{code, json_lines, reference, run};
use serde_json::Value;

/// A folder with a model `model.onnx` (int8, all heads, width 48 or so) and scans `a.png`, `b.png`.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new(limit: f64) -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let checkpoint = folder.path().join("checkpoint");
        std::fs::create_dir(&checkpoint).expect("created");
        let source = smallest_checkpoint();
        for name in ["config.json", "preprocessor_config.json", "model.safetensors"] {
            std::fs::copy(source.join(name), checkpoint.join(name)).expect(name);
        }
        let config = std::fs::read_to_string(source.join("config.json")).expect("config");
        let width = serde_json::from_str::<Value>(&config).expect("JSON")["hidden_size"].as_u64().expect("D") as usize;
        probes(width, limit).write(&checkpoint, width).expect("probes");
        let bench = Bench { folder };
        convert(&checkpoint, &Options::new(Precision::Int8, bench.at("model.onnx"))).expect("converts");
        for (name, seed) in [("a.png", 1u32), ("b.png", 2)] {
            image::GrayImage::from_fn(90, 120, |x, y| image::Luma([((x * seed + y * 2) % 256) as u8]))
                .save(bench.at(name))
                .expect("saved");
        }
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).to_string_lossy().into_owned()
    }

    fn edge(&self, command: &str, args: &[&str]) -> std::process::Output {
        let model = self.path("model.onnx");
        let mut all = vec![command, "--model", &model];
        all.extend(args);
        run("rad-dino-edge", &all)
    }
}

fn smallest_checkpoint() -> PathBuf {
    let dirs = std::fs::read_dir(reference().join("checkpoints")).expect("committed");
    let dirs = dirs.map(|e| e.expect("readable").path()).filter(|path| path.join("model.safetensors").exists());
    dirs.min_by_key(|path| std::fs::metadata(path.join("model.safetensors")).expect("metadata").len()).expect("some")
}

fn probes(width: usize, limit: f64) -> Probes {
    let head = |outputs: usize, hidden: usize| ProbeHead {
        outputs,
        hidden,
        weight: (0..outputs * (2 * width + hidden)).map(|i| ((i % 7) as f32 - 3.0) * 0.02).collect(),
        bias: vec![0.1; outputs],
        hidden_weight: (0..hidden * 2 * width).map(|i| ((i % 5) as f32 - 2.0) * 0.05).collect(),
        hidden_bias: vec![0.05; hidden],
    };
    let calibration = Calibration { scale: 1.0, offset: 0.0 };
    let finding = |label: &str| Finding { label: label.into(), threshold: 0.4, calibration };
    let heads = Heads {
        findings: vec![finding("pneumonia"), finding("pleural_effusion")],
        sex: Some(calibration),
        age: true,
        view: vec!["PA".into(), "AP".into()],
        segmentation: vec![],
    };
    use base64::Engine as _;
    let basis = base64::engine::general_purpose::STANDARD.encode(vec![0u8; 2 * width * 2]);
    let out_of_distribution =
        Some(OutOfDistribution { limit, dim: width, rank: 1, variances: vec![1.0, 1.0], basis, detectors: vec![] });
    let config =
        ProbesConfig { schema: "rad-dino-edge/probes/1".into(), heads, out_of_distribution, ..Default::default() };
    let heads = [("findings", head(2, 3)), ("sex", head(1, 0)), ("age", head(1, 0)), ("view", head(2, 0))];
    Probes { config, heads: BTreeMap::from(heads.map(|(name, head)| (name.to_string(), head))), segmentation: None }
}

#[test]
fn infer_json_has_every_field_of_the_contract() {
    let bench = Bench::new(1e9);
    let output = bench.edge("infer", &[&bench.path("a.png"), "--format", "json", "--report", "--threads", "1"]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let [answer] = &json_lines(&output)[..] else { panic!("one line") };
    assert_eq!(answer["schema"], "rad-dino-edge/infer/1");
    assert_eq!(answer["input"]["path"], bench.path("a.png"));
    assert_eq!(answer["input"]["format"], "png");
    assert_eq!((&answer["input"]["width"], &answer["input"]["height"]), (&90.into(), &120.into()));
    assert_eq!(answer["input"]["sha256"].as_str().map(str::len), Some(64));
    for field in ["name", "sha256", "precision"] {
        assert!(answer["model"][field].is_string(), "{field}");
    }
    assert_eq!(answer["model"]["precision"], "int8");
    for field in ["image_size", "patch_size", "embed_dim"] {
        assert!(answer["model"][field].as_u64() > Some(0), "{field}");
    }
    assert!(answer["engine"]["isa"].is_string() && answer["engine"]["version"].is_string());
    assert_eq!(answer["engine"]["threads"], 1);
    let findings = answer["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 2);
    for finding in findings {
        let (p, t) = (finding["probability"].as_f64().expect("p"), finding["threshold"].as_f64().expect("t"));
        assert!((0.0..=1.0).contains(&p));
        assert_eq!(finding["positive"], p >= t);
    }
    assert!(answer["attributes"]["sex"]["female"].is_f64());
    assert!(answer["attributes"]["age_years"].is_f64());
    assert!(["PA", "AP"].contains(&answer["attributes"]["view"]["label"].as_str().expect("label")));
    assert!(answer["attributes"]["view"]["probability"].as_f64() >= Some(0.5));
    assert_eq!(answer["report"]["source"], "template");
    assert_eq!(answer["embedding"]["dim"], answer["model"]["embed_dim"]);
    assert!(answer["embedding"]["l2_norm"].as_f64() > Some(0.0));
    for field in ["read", "preprocess", "encoder", "heads", "report", "total"] {
        assert!(answer["timing_ms"][field].is_number(), "{field}");
    }
    assert_eq!(answer["warnings"], serde_json::json!([]));
    assert!(answer.get("segmentation").is_none(), "no head, no field");
}

#[test]
fn a_picture_out_of_distribution_is_flagged_and_gets_no_report() {
    let bench = Bench::new(1e-9);
    let output = bench.edge("infer", &[&bench.path("a.png"), "--format", "json", "--report"]);
    let [answer] = &json_lines(&output)[..] else { panic!("one line") };
    assert_eq!(answer["warnings"][0]["kind"], "out_of_distribution");
    assert!(answer.get("report").is_none());
}

#[test]
fn a_bad_scan_costs_only_itself() {
    let bench = Bench::new(1e9);
    std::fs::write(bench.at("broken.png"), b"\x89PNG\r\n\x1a\nrubbish").expect("written");
    let scans = ["a.png", "broken.png", "b.png"].map(|n| bench.path(n));
    let args: Vec<&str> = scans.iter().map(String::as_str).chain(["--format", "json"]).collect();
    let output = bench.edge("infer", &args);
    assert_eq!(code(&output), 1);
    let lines = json_lines(&output);
    assert_eq!(lines.len(), 3);
    assert!(lines[0].get("error").is_none() && lines[2].get("error").is_none());
    assert_eq!(lines[1]["schema"], "rad-dino-edge/infer/1");
    assert_eq!(lines[1]["input"]["path"], scans[1]);
    assert!(lines[1]["error"]["kind"].is_string() && lines[1]["error"]["message"].is_string());
    let output = bench.edge("infer", &[&scans[1], "--format", "json"]);
    assert_eq!(code(&output), 4, "all inputs refused");
}

#[test]
fn limits_are_an_error_of_their_kind() {
    let bench = Bench::new(1e9);
    let output = bench.edge("infer", &[&bench.path("a.png"), "--format", "json", "--max-side", "64"]);
    assert_eq!(code(&output), 4);
    assert_eq!(json_lines(&output)[0]["error"]["kind"], "limits");
}

#[test]
fn exit_codes_tell_usage_from_a_refused_model() {
    let bench = Bench::new(1e9);
    assert_eq!(code(&bench.edge("infer", &[])), 2);
    assert_eq!(code(&bench.edge("infer", &[&bench.path("a.png"), "--segmentation", "x.png"])), 2);
    let heat = bench.path("h.png");
    let unknown = ["--heatmap", &heat, "--heatmap-for", "gout"];
    let output = bench.edge("infer", &[&[bench.path("a.png").as_str()], &unknown[..]].concat());
    assert_eq!(code(&output), 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("pleural_effusion"), "the remedy lists the labels");
    std::fs::write(bench.at("no.onnx"), b"no model").expect("written");
    let output = run("rad-dino-edge", &["infer", "--model", &bench.path("no.onnx"), &bench.path("a.png")]);
    assert_eq!(code(&output), 3);
    let output = run("rad-dino-edge", &["infer", "--model", &bench.path("absent.onnx"), &bench.path("a.png")]);
    assert_eq!(code(&output), 2);
}

#[test]
fn text_is_for_a_person() {
    let bench = Bench::new(1e9);
    let output = bench.edge("infer", &[&bench.path("a.png")]);
    let text = String::from_utf8_lossy(&output.stdout);
    for word in ["pneumonia", "threshold", "not a medical device", "int8"] {
        assert!(text.to_lowercase().contains(word), "{word} in {text}");
    }
}

#[test]
fn files_land_where_they_should() {
    let bench = Bench::new(1e9);
    let (heat, embedding) = (bench.path("heat"), bench.path("embedding"));
    let scans = [bench.path("a.png"), bench.path("b.png")];
    let output = bench.edge("infer", &[&scans[0], &scans[1], "--heatmap", &heat, "--embedding", &embedding]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    for stem in ["a", "b"] {
        let picture = image::open(Path::new(&heat).join(format!("{stem}.png"))).expect("a picture");
        assert!(picture.width() > 0 && picture.height() > picture.width(), "the scan's aspect");
        assert!(Path::new(&embedding).join(format!("{stem}.npy")).exists());
    }
    let single = bench.path("one.png");
    let output = bench.edge("infer", &[&scans[0], "--heatmap", &single, "--heatmap-for", "pneumonia"]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(Path::new(&single).is_file());
}

#[test]
fn embed_writes_rows_in_order_and_nan_for_a_failed_scan() {
    let bench = Bench::new(1e9);
    std::fs::write(bench.at("c.png"), b"no picture").expect("written");
    let out = bench.path("e.safetensors");
    let scans = ["a.png", "c.png", "b.png"].map(|n| bench.path(n));
    let output = bench.edge("embed", &[&scans[0], &scans[1], &scans[2], "--out", &out, "--tokens", "all"]);
    assert_eq!(code(&output), 1);
    let (shape, values) = rad_dino_tests::tensors(Path::new(&out))["embeddings"].clone();
    assert_eq!(shape[0], 3);
    let row = values.len() / 3;
    assert!(values[..row].iter().all(|x| x.is_finite()));
    assert!(values[row..2 * row].iter().all(|x| x.is_nan()));
    assert!(values[2 * row..].iter().all(|x| x.is_finite()));
    let out = bench.path("e.npy");
    let output = bench.edge("embed", &[&scans[0], "--out", &out]);
    assert_eq!(code(&output), 0);
    let bytes = std::fs::read(&out).expect("written");
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    assert_eq!(code(&bench.edge("embed", &[&scans[0], "--out", &bench.path("e.txt")])), 2);
}

#[test]
fn every_instruction_set_gives_the_same_bytes() {
    let bench = Bench::new(1e9);
    let info = json_lines(&bench.edge("info", &["--format", "json"]));
    let isas = info[0]["available_isas"].as_array().expect("a list").clone();
    assert!(isas.contains(&"scalar".into()));
    let embed = |isa: &str, threads: &str| {
        let out = bench.path(&format!("{isa}-{threads}.npy"));
        let status = std::process::Command::new(rad_dino_tests::binary("rad-dino-edge"))
            .args(["embed", "--model", &bench.path("model.onnx"), &bench.path("a.png"), "--out", &out])
            .args(["--tokens", "all", "--threads", threads])
            .env("RDE_ISA", isa)
            .status()
            .expect("starts");
        assert!(status.success(), "{isa}");
        std::fs::read(out).expect("written")
    };
    let truth = embed("scalar", "1");
    for isa in &isas {
        for threads in ["1", "2"] {
            assert!(truth == embed(isa.as_str().expect("a name"), threads), "{isa} with {threads} threads");
        }
    }
    let output = std::process::Command::new(rad_dino_tests::binary("rad-dino-edge"))
        .args(["info", "--model", &bench.path("model.onnx")])
        .env("RDE_ISA", "quantum")
        .output()
        .expect("starts");
    assert_eq!(code(&output), 2, "an unavailable set is an error");
}

#[test]
fn bench_json_has_every_field_of_the_contract() {
    let bench = Bench::new(1e9);
    let output = bench.edge("bench", &["--threads", "1,2", "--iterations", "3", "--format", "json"]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let report = &json_lines(&output)[0];
    assert_eq!(report["schema"], "rad-dino-edge/bench/1");
    let runs = report["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 2);
    for (run, threads) in runs.iter().zip([1, 2]) {
        assert_eq!(run["threads"], threads);
        assert_eq!(run["iterations"], 3);
        for series in ["encoder_ms", "total_ms"] {
            let (min, median, p95) = (&run[series]["min"], &run[series]["median"], &run[series]["p95"]);
            assert!(min.as_f64() <= median.as_f64() && median.as_f64() <= p95.as_f64(), "{run}");
        }
        assert!(run["peak_rss_mb"].as_f64() > Some(0.0));
    }
}
