//! phantom → probe → evaluate, by the binary, with a small random encoder.

use std::path::Path;
use std::process::{Command, Output};

use rad_dino_edge::checkpoint::{DType, Probes};
use rad_dino_edge::model::manifest::Architecture;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_train::features::random::{Shape, weights};
use serde_json::Value;

const DIM: usize = 48;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rad-dino-train")).args(arguments).output().unwrap()
}

fn fine(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn encoder(dir: &Path) {
    let architecture = Architecture {
        family: "dinov2_with_registers".to_owned(),
        image_size: 56,
        patch_size: 14,
        embed_dim: DIM,
        depth: 2,
        num_heads: 3,
        mlp_dim: 2 * DIM,
        num_register_tokens: 1,
    };
    let preprocessing = Preprocessing {
        shortest_edge: 56,
        crop_size: 56,
        rescale_factor: 1.0 / 255.0,
        image_mean: [0.5; 3],
        image_std: [0.25; 3],
    };
    weights(&Shape::of_architecture(&architecture)).unwrap().write(dir, &preprocessing, DType::F32).unwrap();
}

#[test]
fn phantoms_teach_heads_that_evaluate_measures() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fine(&["phantom", "--out", &at("films"), "--count", "420", "--seed", "5", "--size", "64", "--quiet"]);
    encoder(&dir.path().join("encoder"));
    let data = at("films/manifest.csv");
    let probe = |task: &str, extra: &[&str]| {
        let (encoder, out) = (at("encoder"), at("model"));
        let common = ["probe", "--quiet", "--encoder", &encoder, "--out", &out, "--data", &data, "--task", task];
        fine(&[&common[..], extra].concat())
    };
    let val = probe("findings", &["--label", "cardiomegaly"]);
    assert_eq!(val.lines().count(), 1, "one object a source");
    probe("sex", &["--features", "cls"]);
    let probes = Probes::read(&dir.path().join("model"), DIM).unwrap().unwrap();
    assert_eq!(probes.heads.keys().collect::<Vec<_>>(), ["findings", "sex"], "the second call adds to the first");
    assert!(probes.config.out_of_distribution.is_some() && probes.config.training_data[0].films > 250);

    let model = at("model");
    let evaluate = ["evaluate", "--quiet", "--checkpoint", &model, "--data", &data, "--format", "json"];
    let lines: Vec<Value> =
        fine(&[&evaluate[..], &["--floor"]].concat()).lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let floors: Vec<&Value> = lines.iter().map(|l| &l["floor"]).collect();
    assert_eq!(floors, [&Value::Null, &"random".into(), &"pixels".into()]);
    for line in &lines {
        assert_eq!((&line["source"], &line["split"]), (&"phantom".into(), &"test".into()));
        let find = |task: &str, metric: &str| {
            line["metrics"]
                .as_array()
                .unwrap()
                .iter()
                .find(|m| m["task"] == task && m["metric"] == metric)
                .unwrap()
                .clone()
        };
        let auroc = find("findings", "auroc");
        assert_eq!(auroc["label"], "cardiomegaly");
        let [low, value, high] = ["low", "value", "high"].map(|k| auroc[k].as_f64().unwrap());
        assert!(low <= value && value <= high && low < high, "{auroc}");
        assert!(find("sex", "accuracy")["value"].as_f64().unwrap() > 0.5);
        assert!(line["groups"].as_array().unwrap().iter().any(|g| g["by"] == "view" && g["value"] == "AP"));
    }
    let pixels = lines[2]["metrics"][0]["value"].as_f64().unwrap();
    assert!(pixels > 0.8, "a large heart shows in 32×32 pixels: {pixels}");
    assert_eq!(fine(&evaluate), fine(&[&evaluate[..], &["--threads", "1"]].concat()), "threads change nothing");
}

#[test]
fn a_folder_becomes_a_manifest_and_a_bad_film_costs_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fine(&["phantom", "--out", &at("films"), "--count", "3", "--size", "64", "--quiet"]);
    std::fs::write(dir.path().join("films/images/bad.png"), b"no picture").unwrap();
    let output = run(&["manifest", &at("films/images"), "--out", &at("m.csv"), "--source", "Site"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.png"));
    assert_eq!(std::fs::read_to_string(at("m.csv")).unwrap().lines().count(), 4);
}

#[test]
fn refusals_have_their_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(dir.path().join("bad.csv"), "file,split\na.png,dev\n").unwrap();
    std::fs::write(dir.path().join("good.csv"), "file,split\na.png,test\n").unwrap();
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    let code = |arguments: &[&str]| run(arguments).status.code();
    assert_eq!(code(&["probe", "--task", "sex"]), Some(2));
    assert_eq!(code(&["evaluate", "--checkpoint", &at("empty"), "--data", &at("bad.csv")]), Some(4));
    std::fs::write(dir.path().join("empty/config.json"), "{}").unwrap();
    assert_eq!(code(&["evaluate", "--checkpoint", &at("empty"), "--data", &at("good.csv")]), Some(3));
}
