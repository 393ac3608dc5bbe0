//! phantom → report → evaluate, by the binary, with a small random encoder; and the trained network against the runtime's.

mod common;

use std::path::Path;

use burn::backend::Flex;
use burn::tensor::{Int, Tensor, TensorData};
use common::{DIM, encoder, fine, run};
use rad_dino_edge::checkpoint::{Llama, ReportConfig};
use rad_dino_edge::report::decoder::Decoder;
use rad_dino_train::report::Config;
use rad_dino_train::report::model::Writer;
use rad_dino_train::report::weights as report_weights;
use rad_dino_train::vit::Precision;
use serde_json::Value;

#[test]
fn the_runtime_writes_what_training_sees() {
    let config =
        Config { width: 32, layers: 2, heads: 4, kv_heads: 2, feed_forward: 48, projector: 20, ..Config::default() };
    let mut llama = report_weights::fresh_config(&config, 300, 0, 1);
    llama.tie_word_embeddings = false;
    let mut weights = report_weights::fresh(&llama, 3);
    // large enough that every part of the network counts
    weights.blocks.iter_mut().for_each(|b| b.query.0.iter_mut().chain(&mut b.key.0).for_each(|w| *w *= 20.0));
    let projector = report_weights::fresh_projector(6, 20, 32, 3);
    let device = Default::default();
    let writer = Writer::<Flex>::from_weights(&llama, &weights, &projector, &device);
    assert_eq!(writer.to_weights(), (weights.clone(), projector.clone()));
    let report =
        ReportConfig { encoder_width: 6, grid: 3, pool: 2, hidden: 20, max_tokens: 8, ..ReportConfig::default() };
    let dir = tempfile::tempdir().unwrap();
    let folder =
        Llama { config: llama, weights, projector: Some((report, projector)), tokenizer: None, sha256: String::new() };
    folder.write(dir.path()).unwrap();
    let decoder = Decoder::from_folder(dir.path()).unwrap();
    let image: Vec<f32> = (0..4 * 6).map(|i| (i as f32 * 0.7).sin()).collect();
    let tokens = [0u32, 17, 250, 3, 99];
    let ours = decoder.logits(Some(&image), &tokens).unwrap();
    let image = Tensor::<Flex, 3>::from_data(TensorData::new(image, [1, 4, 6]), &device);
    let tokens = Tensor::<Flex, 2, Int>::from_data(TensorData::new(tokens.map(i64::from).to_vec(), [1, 5]), &device);
    let image = writer.projector.forward(image, Precision::F32);
    let theirs = writer.forward(Some(image), tokens, Precision::F32).into_data().iter::<f32>().collect::<Vec<_>>();
    let text = &ours[4 * 300..];
    assert_eq!(text.len(), theirs.len());
    let worst = text.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    let size = theirs.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    assert!(worst < 1e-4 * size.max(1.0), "{worst} of {size}");
}

#[test]
fn phantoms_teach_a_writer_that_goes_on_where_it_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fine(&["phantom", "--out", &at("films"), "--count", "90", "--seed", "5", "--size", "64", "--quiet"]);
    encoder(&dir.path().join("encoder"), 0);
    let profile = "vocabulary = 320\nwidth = 32\nlayers = 1\nheads = 2\nkv_heads = 1\nfeed_forward = 32\nprojector = 16\n\
                   max_tokens = 24\nbatch = 4\ntext_steps = 4\nprojector_steps = 4\njoint_steps = 8\nlook_every = 4\n\
                   look_films = 8\nrate = 3e-3\nfindings = 0.5\n";
    std::fs::write(at("profile.toml"), profile).unwrap();
    let (data, from, profile) = (at("films/manifest.csv"), at("encoder"), at("profile.toml"));
    let train = |out: &str, more: &[&str]| {
        let common = ["report", "--quiet", "--encoder", &from, "--data", &data, "--config", &profile, "--out", out];
        fine(&[&common[..], more].concat())
    };
    let (whole, parts) = (at("whole"), at("parts"));
    let said: Value = serde_json::from_str(&train(&whole, &[])).unwrap();
    assert!(said["reports"]["train"].as_u64().unwrap() > 50 && said["best"]["val_loss"].as_f64().unwrap() < 6.0);
    let report = |out: &str, file: &str| std::fs::read(Path::new(out).join("report").join(file)).unwrap();
    // a run cut off at once has no look to keep; it goes on from its last look
    train(&parts, &["--max-minutes", "0"]);
    train(&parts, &["--resume"]);
    assert_eq!(report(&whole, "model.safetensors"), report(&parts, "model.safetensors"));
    let first: Value = serde_json::from_slice(&report(&whole, "report.json")).unwrap();
    assert_eq!((&first["grid"], &first["encoder_width"]), (&4.into(), &(DIM as u64).into()));
    let looks = String::from_utf8(report(&whole, "metrics.jsonl")).unwrap();
    assert_eq!(looks.lines().count(), 4, "{looks}");

    let scored = fine(&["evaluate", "--quiet", "--checkpoint", &whole, "--data", &data, "--format", "json"]);
    let scored: Value = serde_json::from_str(&scored).unwrap();
    let value = |writer: &str, metric: &str| {
        let metrics = scored["metrics"].as_array().unwrap();
        let found = metrics.iter().find(|m| m["task"] == "report" && m["label"] == writer && m["metric"] == metric);
        found.unwrap_or_else(|| panic!("{writer} {metric}"))["value"].as_f64().unwrap()
    };
    for writer in ["decoder", "blind", "nearest", "most_frequent"] {
        assert!((0.0..=1.0).contains(&value(writer, "rouge_l")));
        assert!((0.0..=1.0).contains(&value(writer, "macro_f1_14")));
    }
    assert!(value("nearest", "rouge_l") > 0.2, "phantoms' reports are alike");
    let other = run(&["report", "--encoder", &from, "--data", &data, "--out", &parts, "--resume", "--quiet"]);
    assert_eq!(other.status.code(), Some(2), "another profile is another training");
}
