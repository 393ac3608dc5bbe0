//! Preprocessing against what Pillow made of the same files: PNG bit for bit, JPEG within one grey level.

use std::path::{Path, PathBuf};

use rad_dino_edge::preprocess::{Geometry, Preprocessing, preprocess, resize_and_crop};
use rad_dino_edge::scan::{Limits, Pixels, Scan, read};
use serde_json::Value;

fn folder() -> PathBuf {
    rad_dino_tests::reference().join("pillow")
}

fn constants(shortest_edge: usize, crop_size: usize) -> Preprocessing {
    Preprocessing {
        shortest_edge,
        crop_size,
        rescale_factor: 1.0 / 255.0,
        image_mean: [0.485, 0.456, 0.406],
        image_std: [0.229, 0.224, 0.225],
    }
}

/// [S, S, 3]
fn as_rgb(pixels: &Pixels) -> Vec<u8> {
    match pixels {
        Pixels::Gray8(grey) => grey.iter().flat_map(|&g| [g; 3]).collect(),
        Pixels::Rgb8(rgb) => rgb.clone(),
    }
}

fn load(path: &Path) -> Scan {
    read(path, &Limits::default()).unwrap_or_else(|e| panic!("{e}"))
}

struct Case {
    file: String,
    scan: Scan,
    constants: Preprocessing,
    /// [S, S, 3]
    expected: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let list = std::fs::read_to_string(folder().join("cases.json")).expect("tests/reference/data/pillow/cases.json");
    let list: Vec<Value> = serde_json::from_str(&list).expect("cases.json");
    let word = |case: &Value, key: &str| case[key].as_str().expect(key).to_string();
    let number = |case: &Value, key: &str| case[key].as_u64().expect(key) as usize;
    list.iter()
        .map(|case| {
            let file = word(case, "file");
            let expected = image::open(folder().join(word(case, "expected"))).expect("expected crop").to_rgb8();
            Case {
                scan: load(&folder().join(&file)),
                constants: constants(number(case, "shortest_edge"), number(case, "crop_size")),
                expected: expected.into_raw(),
                file,
            }
        })
        .collect()
}

#[test]
fn crops_equal_pillows() {
    let cases = cases();
    assert!(cases.len() >= 30, "only {} cases", cases.len());
    let mut failures = Vec::new();
    for Case { file, scan, constants, expected } in cases {
        let (crop, _) = resize_and_crop(&scan, &constants).unwrap();
        let crop = as_rgb(&crop);
        assert_eq!(crop.len(), expected.len(), "{file}");
        let worst = crop.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0);
        let allowed = match file.as_str() {
            // Chroma of half size is enlarged with other roundings than libjpeg's. This film is hardly reduced; larger
            // ones average it out, and grey films stored so have no chroma to enlarge.
            "colour_420_121x90.jpg" => 4,
            file if file.ends_with(".jpg") => 1,
            _ => 0,
        };
        if worst > allowed {
            failures.push(format!("{file} at {}/{}: {worst}", constants.shortest_edge, constants.crop_size));
        }
    }
    assert!(failures.is_empty(), "grey levels off: {failures:#?}");
}

#[test]
fn pixel_values_are_the_normalised_crop() {
    for Case { file, scan, constants, .. } in cases() {
        let (crop, geometry) = resize_and_crop(&scan, &constants).unwrap();
        let (crop, size) = (as_rgb(&crop), constants.crop_size);
        let mut values = vec![f32::NAN; 3 * size * size];
        let same: Geometry = preprocess(&scan, &constants, &mut values).unwrap();
        assert_eq!(same, geometry);
        for (i, &value) in values.iter().enumerate() {
            let (channel, at) = (i / (size * size), i % (size * size));
            let level = f64::from(crop[3 * at + channel]);
            let exact = (level / 255.0 - constants.image_mean[channel]) / constants.image_std[channel];
            assert!((f64::from(value) - exact).abs() < 1e-6, "{file}");
        }
    }
}

#[test]
fn grey_files_stay_grey() {
    for Case { file, scan, .. } in cases() {
        let grey = file.starts_with("grey") || file.starts_with("la") || file.starts_with("bits");
        assert_eq!(scan.pixels.channels(), if grey { 1 } else { 3 }, "{file}");
    }
}
