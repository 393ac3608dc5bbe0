//! The shipped model on real films, when they are there, and on pictures that are no films.

use std::path::{Path, PathBuf};

use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::preprocess::preprocess;
use rad_dino_edge::probe::Distance;
use rad_dino_edge::scan::{self, Limits};
use rad_dino_quantize::Options;
use rad_dino_tests::{code, cosine, json_lines, root, run, shared};
use rad_dino_train::data::{Dataset, Split};

fn model() -> PathBuf {
    root().join("models/rad-dino-small.onnx")
}

fn hidden(engine: &Engine, film: &Path) -> Vec<f32> {
    let scan = scan::read(film, &Limits::default()).expect("a film");
    let size = engine.shape().image_size;
    let mut pixels = vec![0.0; 3 * size * size];
    preprocess(&scan, engine.preprocessing().expect("preprocessing"), &mut pixels).expect("preprocesses");
    engine.run(&pixels, 1).expect("runs").hidden().to_vec()
}

/// Test films of a manifest, at most `most`.
fn test_films(manifest: &Path, most: usize) -> Vec<PathBuf> {
    let dataset = Dataset::read(&[manifest.to_path_buf()]).expect("a manifest");
    let films = dataset.of_split(Split::Test);
    // Every second film: the sources lie one after the other in the manifest.
    films.iter().step_by(2).take(most).map(|i| dataset.films[*i].path.clone()).collect()
}

#[test]
fn int8_stays_close_to_the_checkpoint_on_films() {
    let Some(shared) = shared() else { return };
    // the folder the shipped encoder was continued from is at hand; the continued one by naming it
    let folder = std::env::var_os("RDE_CHECKPOINT").map_or_else(|| shared.join("weights/dinov2-small"), PathBuf::from);
    let out = tempfile::tempdir().expect("temporary folder");
    let file = out.path().join("int8.onnx");
    rad_dino_quantize::convert(&folder, &Options::new(Precision::Int8, &file)).expect("converts");
    let int8 = Engine::from_file(&file, 2).expect("loads");
    let fp32 = Engine::from_checkpoint(&folder, None, 2).expect("loads");
    let films = scan::collect(&[shared.join("data/fullres")]).expect("films");
    let width = int8.shape().embed_dim;
    let (mut cls, mut patches) = (vec![], vec![]);
    for film in &films {
        let (a, b) = (hidden(&int8, film), hidden(&fp32, film));
        let cosines: Vec<_> = a.chunks(width).zip(b.chunks(width)).map(|(a, b)| cosine(a, b)).collect();
        cls.push(cosines[0]);
        patches.extend_from_slice(&cosines[1..]);
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let least = patches.iter().copied().fold(1.0, f64::min);
    eprintln!("CLS {:.5}, patches {:.5}, worst token {least:.4}", mean(&cls), mean(&patches));
    let worst = cls.iter().copied().fold(1.0, f64::min);
    assert!(mean(&cls) >= 0.999 && worst >= 0.998, "CLS {} worst {worst}", mean(&cls));
    assert!(mean(&patches) >= 0.999, "patches {}", mean(&patches));
}

#[test]
fn chest_films_are_rarely_flagged_and_other_pictures_are() {
    flags(&model());
}

#[test]
fn the_tiny_model_is_small_and_flags_as_the_other_does() {
    let tiny = root().join("models/rad-dino-tiny.onnx");
    let bytes = std::fs::metadata(&tiny).expect("committed").len();
    assert!(bytes <= 7_000_000, "{bytes} bytes");
    flags(&tiny);
    let (demo, tiny) = (root().join("models/demo.png"), tiny.to_string_lossy().into_owned());
    let args = ["infer", &demo.to_string_lossy(), "--model", &tiny, "--format", "json"];
    let output = run("rad-dino-edge", &args);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let line = &json_lines(&output)[0];
    assert_eq!((&line["model"]["name"], &line["model"]["embed_dim"]), (&"rad-dino-tiny".into(), &192.into()));
    let labels = |line: &serde_json::Value| -> Vec<String> {
        let findings = line["findings"].as_array().expect("findings").iter();
        findings.map(|finding| finding["label"].as_str().expect("a label").to_owned()).collect()
    };
    let small = run("rad-dino-edge", &["infer", &demo.to_string_lossy(), "--format", "json"]);
    assert_eq!(labels(line), labels(&json_lines(&small)[0]), "it answers the same questions");
}

/// Holds the out-of-distribution limit of `model` to pictures that are no films, the demo scan, and test films.
fn flags(model: &Path) {
    let engine = Engine::from_file(model, 2).expect("loads");
    let entry = engine.manifest().and_then(|m| m.out_of_distribution.clone()).expect("a limit");
    let distance = Distance::new(&entry, engine.shape().embed_dim).expect("fits");
    let flagged = |film: &Path| distance.of(&hidden(&engine, film)[..engine.shape().embed_dim]) > distance.limit();
    let folder = tempfile::tempdir().expect("temporary folder");
    let picture = |name: &str, f: &dyn Fn(u32, u32) -> [u8; 3]| {
        let path = folder.path().join(name);
        image::RgbImage::from_fn(320, 300, |x, y| image::Rgb(f(x, y))).save(&path).expect("saved");
        path
    };
    let noise = |x: u32, y: u32| (x.wrapping_mul(2_654_435_761) ^ y.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
    for path in [
        picture("black.png", &|_, _| [0; 3]),
        picture("noise.png", &|x, y| [(noise(x, y) >> 24) as u8; 3]),
        picture("ramp.png", &|x, _| [(x * 255 / 319) as u8, 40, 200]),
        picture("stripes.png", &|x, y| if (x / 20 + y / 20) % 2 == 0 { [250, 240, 20] } else { [10, 60, 90] }),
    ] {
        assert!(flagged(&path), "{}", path.display());
    }
    assert!(!flagged(&root().join("models/demo.png")), "the demo scan looks like a film");
    let Some(shared) = shared() else { return };
    let films = test_films(&shared.join("data/cxr/manifest.csv"), 200);
    let share = films.iter().filter(|film| flagged(film)).count() as f64 / films.len() as f64;
    assert!(share <= 0.03, "{share} of {} films", films.len());
}

#[test]
fn depth_and_alpha_do_not_change_the_answer_much() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = shared.join("data/fullres/nih_00000347_000.png");
    let grey = image::open(&source).expect("a film").to_luma8();
    let (low, high) = grey.iter().fold((255, 0), |(low, high), v| (low.min(*v), high.max(*v)));
    let variants = [folder.path().join("16.png"), folder.path().join("rgba.png"), folder.path().join("stretched.png")];
    let stretch = |v: u8| (f64::from(v - low) * 255.0 / f64::from(high - low)).round();
    let wide = |v: u8| 1000 + (u16::from(v) - u16::from(low)) * 100;
    image::ImageBuffer::<image::Luma<u16>, _>::from_fn(grey.width(), grey.height(), |x, y| {
        image::Luma([wide(grey.get_pixel(x, y)[0])])
    })
    .save(&variants[0])
    .expect("saved");
    image::RgbaImage::from_fn(grey.width(), grey.height(), |x, y| {
        let v = grey.get_pixel(x, y)[0];
        image::Rgba([v, v, v, (x % 256) as u8])
    })
    .save(&variants[1])
    .expect("saved");
    image::GrayImage::from_fn(grey.width(), grey.height(), |x, y| {
        image::Luma([stretch(grey.get_pixel(x, y)[0]) as u8])
    })
    .save(&variants[2])
    .expect("saved");
    let model = model();
    let mut args = vec!["infer", "--format", "json", "--model", model.to_str().expect("UTF-8")];
    let paths = [source.clone(), variants[1].clone(), variants[2].clone(), variants[0].clone()];
    args.extend(paths.iter().map(|p| p.to_str().expect("UTF-8")));
    let output = run("rad-dino-edge", &args);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let findings: Vec<_> = json_lines(&output).iter().map(|line| line["findings"].clone()).collect();
    assert_eq!(findings[0], findings[1], "alpha is dropped");
    assert_eq!(findings[2], findings[3], "16 bits are stretched from minimum to maximum");
}
