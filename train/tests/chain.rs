//! phantom → probe → evaluate, by the binary, with a small random encoder.

mod common;

use common::{DIM, encoder, fine, run};
use rad_dino_edge::checkpoint::{Checkpoint, Probes};
use serde_json::Value;

#[test]
fn phantoms_teach_heads_that_evaluate_measures() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fine(&["phantom", "--out", &at("films"), "--count", "220", "--seed", "5", "--size", "64", "--quiet"]);
    encoder(&dir.path().join("encoder"), 1);
    let (data, encoder, model) = (at("films/manifest.csv"), at("encoder"), at("model"));
    let common = ["probe", "--quiet", "--encoder", &encoder, "--out", &model, "--data", &data, "--task"];
    let val = fine(&[&common[..], &["sex", "--features", "cls"]].concat());
    assert_eq!(val.lines().count(), 1, "one object a source");
    fine(&[&common[..], &["age"]].concat());
    assert_eq!(run(&[&common[..], &["findings"]].concat()).status.code(), Some(4), "too few films of each finding");
    let probes = Probes::read(&dir.path().join("model"), DIM).unwrap().unwrap();
    assert_eq!(probes.heads.keys().collect::<Vec<_>>(), ["age", "sex"], "the second call adds to the first");
    assert!(probes.config.out_of_distribution.is_some() && probes.config.training_data[0].films > 120);

    let evaluate = ["evaluate", "--quiet", "--checkpoint", &model, "--data", &data, "--format", "json"];
    let detectors = probes.config.out_of_distribution.unwrap().detectors;
    assert_eq!(detectors.iter().map(|d| d.label.as_str()).collect::<Vec<_>>(), ["upside_down", "sideways", "inverted"]);
    let held: Value = serde_json::from_str(fine(&[&evaluate[..], &["--ood"]].concat()).trim()).unwrap();
    let rate = |label: &str| {
        let metrics = held["metrics"].as_array().unwrap();
        let found = metrics.iter().find(|m| m["task"] == "out_of_distribution" && m["label"] == label);
        found.unwrap()["value"].as_f64().unwrap()
    };
    for pose in ["half_turn", "flipped", "turned_right", "turned_left"] {
        assert!((0.0..=1.0).contains(&rate(pose)));
    }
    assert!(rate("inverted") > rate("flagged"), "{held}");
    let floor = fine(&[&evaluate[..], &["--floor"]].concat());
    let lines: Vec<Value> = floor.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let floors: Vec<&Value> = lines.iter().map(|line| &line["floor"]).collect();
    assert_eq!(floors, [&Value::Null, &"random".into(), &"pixels".into()]);
    let find = |line: &Value, task: &str, metric: &str| {
        let metrics = line["metrics"].as_array().unwrap();
        metrics.iter().find(|m| m["task"] == task && m["metric"] == metric).unwrap().clone()
    };
    for line in &lines {
        assert_eq!((&line["source"], &line["split"]), (&"phantom".into(), &"test".into()));
        let auroc = find(line, "sex", "auroc");
        assert_eq!(auroc["label"], "female");
        let [low, value, high] = ["low", "value", "high"].map(|k| auroc[k].as_f64().unwrap());
        assert!(low <= value && value <= high && low < high, "{auroc}");
        assert!(find(line, "age", "mae")["value"].as_f64().unwrap() < 25.0);
        assert!(line["groups"].as_array().unwrap().iter().any(|g| g["by"] == "view" && g["value"] == "AP"));
    }
    let pixels = find(&lines[2], "sex", "auroc")["value"].as_f64().unwrap();
    assert!(pixels > 0.8, "sex shows in 32×32 pixels of a phantom: {pixels}");
    assert_eq!(fine(&evaluate), fine(&[&evaluate[..], &["--threads", "1"]].concat()), "threads change nothing");
}

#[test]
fn phantoms_teach_a_segmentation_beside_the_other_heads() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fine(&["phantom", "--out", &at("films"), "--count", "120", "--seed", "6", "--size", "64", "--quiet"]);
    encoder(&dir.path().join("encoder"), 1);
    let (data, encoder, model) = (at("films/manifest.csv"), at("encoder"), at("model"));
    let common = ["probe", "--quiet", "--encoder", &encoder, "--out", &model, "--data", &data, "--task"];
    fine(&[&common[..], &["age"]].concat());
    // A mask that is not there costs its film only.
    let manifest = std::fs::read_to_string(at("films/manifest.csv")).unwrap();
    let bad = manifest.replacen(",masks/", ",absent/", 1);
    assert_ne!(bad, manifest);
    std::fs::write(at("films/bad.csv"), bad).unwrap();
    let bad = ["probe", "--encoder", &encoder, "--out", &at("other"), "--data", &at("films/bad.csv")];
    let output = run(&[&bad[..], &["--task", "segmentation", "--segmentation-head", "linear"]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    let val = fine(&[&common[..], &["segmentation"]].concat());
    assert!(val.contains("\"task\":\"segmentation\""), "{val}");
    let probes = Probes::read(&dir.path().join("model"), DIM).unwrap().unwrap();
    assert!(probes.heads.contains_key("age"), "the head that was there stays");
    let tasks: Vec<&str> = probes.config.metrics.iter().map(|m| m.task.as_str()).collect();
    assert!(tasks.contains(&"age") && tasks.contains(&"segmentation"), "{tasks:?}");
    let weights = || std::fs::read(dir.path().join("model/probes.safetensors")).unwrap();
    let first = weights();
    fine(&[&common[..], &["segmentation", "--threads", "1"]].concat());
    assert!(first == weights(), "a second fit, on one thread, gives the same bytes");

    let evaluate = ["evaluate", "--quiet", "--data", &data, "--format", "json", "--checkpoint"];
    let of = |checkpoint: &str| {
        let line = fine(&[&evaluate[..], &[checkpoint]].concat());
        let report: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
        let metrics = report["metrics"].as_array().unwrap().clone();
        ["dice", "iou", "dice_scan"].map(|name| {
            let metric = metrics.iter().find(|m| m["task"] == "segmentation" && m["metric"] == name).unwrap();
            assert_eq!(metric["label"], "lung");
            ["low", "value", "high"].map(|k| metric[k].as_f64().unwrap())
        })
    };
    let [dice, iou, scan] = of(&model);
    assert!(dice[0] <= dice[1] && dice[1] <= dice[2] && iou[1] < dice[1], "{dice:?} {iou:?}");
    assert!(dice[1] > 0.8, "a random encoder still knows where a patch lies: {dice:?}");
    assert_eq!(dice, scan, "a square film is all crop");
    let linear = of(&at("other"))[0][1];
    assert!(linear < dice[1], "one logit a patch is coarse: {linear} {dice:?}");
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

#[test]
fn cast_halves_the_weights_and_rounds_them_once() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    encoder(&dir.path().join("encoder"), 1);
    fine(&["cast", &at("encoder"), "--dtype", "f16", "--out", &at("half")]);
    fine(&["cast", &at("half"), "--dtype", "f32", "--out", &at("back")]);
    let size = |name: &str| std::fs::metadata(dir.path().join(name).join("model.safetensors")).unwrap().len();
    assert!(size("half") * 2 < size("encoder") + 16_384 && size("back") > size("half"));
    let read = |name: &str| Checkpoint::open(&dir.path().join(name)).unwrap().encoder_weights().unwrap();
    let (full, half, back) = (read("encoder"), read("half"), read("back"));
    assert_eq!(half, back);
    let rounded = full.patch_weight.iter().map(|w| half::f16::from_f32(*w).to_f32());
    assert!(half.patch_weight != full.patch_weight && half.patch_weight.iter().copied().eq(rounded));
    assert_eq!(run(&["cast", &at("encoder"), "--dtype", "f16", "--out", &at("encoder")]).status.code(), Some(2));
}
