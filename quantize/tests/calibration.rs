//! int8 by calibration films, on a network made difficult by outliers, and through the engine.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use rad_dino_edge::ErrorKind;
use rad_dino_edge::checkpoint::{Checkpoint, DType, FeedForward};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::{Architecture, Precision};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_quantize::{Calibration, Options, Summary, calibration_path, convert};
use rad_dino_train::features::{film, random};
use tract_onnx::pb::ModelProto;

const SIDE: usize = 56;
const FILMS: u32 = 8;

/// Films with structure, all of split val, and their manifest.
fn films(folder: &Path) -> PathBuf {
    let mut csv = String::from("file,source,split\n");
    for i in 0..FILMS {
        let wave = |x: u32, y: u32| {
            let (x, y) = (f64::from(x) / 9.0, f64::from(y) / 7.0);
            128.0 + 60.0 * (x * (1.0 + f64::from(i) / 5.0)).sin() + 50.0 * (y + f64::from(i)).cos()
        };
        image::GrayImage::from_fn(80, 70, |x, y| image::Luma([wave(x, y) as u8]))
            .save(folder.join(format!("{i}.png")))
            .unwrap();
        csv += &format!("{i}.png,S,val\n");
    }
    let manifest = folder.join("manifest.csv");
    fs::write(&manifest, csv).unwrap();
    manifest
}

/// A random ViT in which some inputs of fc2 are fifty times the others.
fn checkpoint(folder: &Path) {
    let architecture = Architecture {
        family: "dinov2".to_owned(),
        image_size: SIDE,
        patch_size: 14,
        embed_dim: 64,
        depth: 3,
        num_heads: 4,
        mlp_dim: 256,
        num_register_tokens: 0,
    };
    let mut weights = random::weights(&random::Shape::of_architecture(&architecture)).unwrap();
    for block in &mut weights.blocks {
        if let FeedForward::Mlp { fc1_weight, fc1_bias, fc2_weight, .. } = &mut block.feed_forward {
            fc1_weight.iter_mut().for_each(|w| *w *= 6.0);
            fc2_weight.iter_mut().for_each(|w| *w *= 6.0);
            for hidden in [3, 77, 200] {
                fc1_weight[hidden * 64..(hidden + 1) * 64].iter_mut().for_each(|w| *w *= 50.0);
                fc1_bias[hidden] = 20.0;
                fc2_weight.iter_mut().skip(hidden).step_by(256).for_each(|w| *w /= 50.0);
            }
        }
    }
    let preprocessing = Preprocessing {
        shortest_edge: SIDE,
        crop_size: SIDE,
        rescale_factor: 1.0 / 255.0,
        image_mean: [0.5; 3],
        image_std: [0.25; 3],
    };
    weights.write(folder, &preprocessing, DType::F32).unwrap();
}

fn calibrated(checkpoint: &Path, out: &Path, calibration: Option<Calibration>) -> Summary {
    convert(checkpoint, &Options { calibration, ..Options::new(Precision::Int8, out) }).unwrap()
}

/// Mean cosine of the CLS tokens of two engines over the films.
fn cls(a: &Engine, b: &Engine, folder: &Path) -> f64 {
    let width = a.shape().embed_dim;
    let of_film = |i: u32| {
        let path = folder.join(format!("{i}.png"));
        let pixels = film::prepare(&path, &Default::default(), a.preprocessing().unwrap()).unwrap();
        let (a, b) = (a.run(&pixels, 1).unwrap(), b.run(&pixels, 1).unwrap());
        let (a, b) = (&a.hidden()[..width], &b.hidden()[..width]);
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    (0..FILMS).map(of_film).sum::<f64>() / f64::from(FILMS)
}

#[test]
fn outliers_are_levelled_and_the_engine_gives_what_was_promised() {
    let folder = tempfile::tempdir().unwrap();
    let (model, manifest) = (folder.path().join("checkpoint"), films(folder.path()));
    checkpoint(&model);
    let [plain, levelled, kept] = ["plain", "levelled", "kept"].map(|name| folder.path().join(format!("{name}.onnx")));
    assert!(calibrated(&model, &plain, None).calibration.is_none());
    let report = calibrated(&model, &levelled, Some(Calibration::new(vec![manifest.clone()]))).calibration.unwrap();
    assert!(report.calibrated.cls_mean > report.plain.cls_mean, "{report:?}");
    assert!(report.calibrated.cls_mean >= 0.999 && report.calibrated.patch_mean >= 0.99, "{report:?}");
    assert!(report.layers.iter().any(|l| l.layer == "fc2" && (l.strength.is_some() || l.centred)), "{report:?}");
    assert!(report.layers.iter().all(|l| l.sqnr_db >= l.sqnr_plain_db - 0.1), "{report:?}");
    assert_eq!((report.layers.len(), report.films), (12, FILMS as usize));
    let json: serde_json::Value = serde_json::from_slice(&fs::read(calibration_path(&levelled)).unwrap()).unwrap();
    assert_eq!(json["layers"][11]["layer"], "fc2");

    let forced = Calibration { target_cosine: 1.0, fallback_budget: 0.3, ..Calibration::new(vec![manifest]) };
    let fallback = calibrated(&model, &kept, Some(forced)).calibration.unwrap();
    assert!(fallback.fallback_share > 0.0 && fallback.fallback_share <= 0.3, "{fallback:?}");
    let formats = fallback.layers.iter().filter(|l| l.format == "fp16").count();
    assert!(formats > 0 && fallback.written.cls_mean >= report.calibrated.cls_mean, "{fallback:?}");
    let file = ModelProto::decode(&*fs::read(&kept).unwrap()).unwrap();
    for node in &file.graph.as_ref().unwrap().node {
        let function = file.functions.iter().find(|f| f.name() == node.op_type).unwrap();
        assert_eq!(node.input.len(), function.input.len(), "{}", node.op_type);
        assert!(node.input.iter().zip(&function.input).skip(1).all(|(a, b)| a.ends_with(b.as_str())));
    }
    assert!(file.functions.iter().any(|f| f.name().starts_with("EncoderBlockInt8_") && f.name().contains("_fp16")));

    let exact = Engine::from_checkpoint(&model, None, 1).unwrap();
    for (path, promised) in [(&plain, report.plain), (&levelled, report.written), (&kept, fallback.written)] {
        let engine = Engine::from_file(path, 1).unwrap();
        let found = cls(&exact, &engine, folder.path());
        // The file's patch embedding is f16.
        assert!((found - promised.cls_mean).abs() < 1e-4 + 0.05 * (1.0 - promised.cls_mean), "{found} {promised:?}");
    }
}

#[test]
fn what_cannot_be_calibrated_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (model, manifest) = (folder.path().join("checkpoint"), films(folder.path()));
    checkpoint(&model);
    let refusal = |precision, calibration| {
        let options =
            Options { calibration: Some(calibration), ..Options::new(precision, folder.path().join("x.onnx")) };
        convert(&model, &options).unwrap_err().kind()
    };
    let good = Calibration::new(vec![manifest]);
    assert_eq!(refusal(Precision::Fp32, good.clone()), ErrorKind::Usage);
    assert_eq!(refusal(Precision::Int8, Calibration { fallback_budget: 1.5, ..good.clone() }), ErrorKind::Usage);
    fs::write(folder.path().join("test.csv"), "file,source,split\n0.png,S,test\n").unwrap();
    let tested = Calibration { data: vec![folder.path().join("test.csv")], ..good };
    assert_eq!(refusal(Precision::Int8, tested), ErrorKind::Data);
    assert!(!folder.path().join("x.onnx").exists() && Checkpoint::open(&model).is_ok());
}
