//! The engine against transformers on the committed odd checkpoints, from the folder and through every kind of file.

use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::{Checkpoint, PositionInterpolation};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_quantize::{Options, convert};
use rad_dino_tests::{cosine, largest_difference, reference, tensors};

struct Case {
    name: String,
    dir: PathBuf,
    image_size: usize,
    position: PositionInterpolation,
    pixel_values: Vec<f32>,
    n: usize,
    hidden: Vec<f32>,
    width: usize,
}

fn cases() -> Vec<Case> {
    let mut dirs: Vec<_> = std::fs::read_dir(reference().join("checkpoints"))
        .expect("reference checkpoints are committed")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.join("reference.safetensors").exists())
        .collect();
    dirs.sort();
    assert!(dirs.len() >= 5, "only {} cases", dirs.len());
    dirs.iter().map(|dir| case(dir)).collect()
}

fn case(dir: &Path) -> Case {
    let json = std::fs::read_to_string(dir.join("case.json")).expect("case.json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    let reference = tensors(&dir.join("reference.safetensors"));
    let (shape, pixel_values) = reference["pixel_values"].clone();
    let (hidden_shape, hidden) = reference["last_hidden_state"].clone();
    let position = match json["position"].as_str() {
        Some("offset") => PositionInterpolation::Offset,
        _ => PositionInterpolation::Size,
    };
    Case {
        name: dir.file_name().expect("named").to_string_lossy().into_owned(),
        dir: dir.to_path_buf(),
        image_size: json["image_size"].as_u64().expect("image_size") as usize,
        position,
        pixel_values,
        n: shape[0],
        hidden,
        width: hidden_shape[2],
    }
}

fn from_weights(case: &Case, threads: usize) -> Engine {
    let checkpoint = Checkpoint::open(&case.dir).expect(&case.name);
    let weights = checkpoint.encoder_weights().expect(&case.name);
    Engine::from_weights(&weights, case.image_size, case.position, None, None, String::new(), threads)
        .expect(&case.name)
}

fn from_file(case: &Case, precision: Precision, threads: usize) -> Engine {
    let folder = tempfile::tempdir().expect("temporary folder");
    let out = folder.path().join("model.onnx");
    let options =
        Options { image_size: Some(case.image_size), position: case.position, ..Options::new(precision, &out) };
    convert(&case.dir, &options).expect(&case.name);
    Engine::from_file(&out, threads).expect(&case.name)
}

fn hidden(engine: &Engine, case: &Case) -> Vec<f32> {
    engine.run(&case.pixel_values, case.n).expect(&case.name).hidden().to_vec()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn the_checkpoint_folder_gives_transformers_features() {
    for case in cases() {
        let difference = largest_difference(&hidden(&from_weights(&case, 1), &case), &case.hidden);
        assert!(difference <= 1e-4, "{}: {difference}", case.name);
    }
}

#[test]
fn the_fp32_file_gives_transformers_features() {
    for case in cases() {
        let difference = largest_difference(&hidden(&from_file(&case, Precision::Fp32, 1), &case), &case.hidden);
        assert!(difference <= 1e-4, "{}: {difference}", case.name);
    }
}

#[test]
fn the_fp16_and_int8_files_stay_close() {
    for case in cases() {
        for (precision, limit) in [(Precision::Fp16, 0.9999), (Precision::Int8, 0.99)] {
            let ours = hidden(&from_file(&case, precision, 1), &case);
            let tokens = ours.chunks(case.width).zip(case.hidden.chunks(case.width));
            let cosines: Vec<_> = tokens.map(|(a, b)| cosine(a, b)).collect();
            let mean = cosines.iter().sum::<f64>() / cosines.len() as f64;
            assert!(mean >= limit, "{} {}: {mean}", case.name, precision.as_str());
        }
    }
}

#[test]
fn threads_and_batch_position_change_nothing() {
    for case in cases() {
        for precision in [Precision::Fp32, Precision::Int8] {
            let one = from_file(&case, precision, 1);
            let batch = hidden(&one, &case);
            assert_eq!(bits(&batch), bits(&hidden(&from_file(&case, precision, 3), &case)), "{} threads", case.name);
            let pixels = case.pixel_values.len() / case.n;
            let alone: Vec<f32> = (0..case.n)
                .flat_map(|i| {
                    let image = &case.pixel_values[i * pixels..(i + 1) * pixels];
                    one.run(image, 1).expect(&case.name).hidden().to_vec()
                })
                .collect();
            assert_eq!(bits(&batch), bits(&alone), "{} batch", case.name);
        }
    }
}

#[test]
fn the_folder_and_the_fp32_file_give_the_same_bits() {
    for case in cases() {
        let folder = hidden(&from_weights(&case, 2), &case);
        assert_eq!(bits(&folder), bits(&hidden(&from_file(&case, Precision::Fp32, 2), &case)), "{}", case.name);
    }
}

#[test]
fn cls_attention_is_a_distribution_over_patches() {
    let case = &cases()[0];
    let engine = from_weights(case, 1);
    let outputs = engine.run(&case.pixel_values, case.n).unwrap();
    let attention = outputs.cls_attention();
    assert_eq!(attention.len(), case.n * engine.shape().patches);
    for image in attention.chunks(engine.shape().patches) {
        let sum: f32 = image.iter().sum();
        assert!(sum > 0.0 && sum <= 1.0 + 1e-5, "{sum}: the rest is on CLS and registers");
    }
}

#[test]
fn a_wrong_number_of_pixels_is_an_error() {
    let case = &cases()[0];
    let engine = from_weights(case, 1);
    assert!(engine.run(&[0.0; 5], 1).is_err());
    assert!(engine.run(&[], 0).is_err());
}
