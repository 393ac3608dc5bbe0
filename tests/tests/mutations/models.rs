//! Model files with every head, report decoders, retrieval files.

use std::path::Path;
use std::time::Duration;

use rad_dino_edge::Error;
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::{MANIFEST_KEY, Precision};
use rad_dino_edge::model::onnx::OnnxFile;
use rad_dino_edge::reader::{HeatmapOf, Reader, Wish};
use rad_dino_edge::report::Author;
use rad_dino_edge::report::decoder::{Decoder, Options as Writing, Search};
use rad_dino_edge::scan::{Limits, Scan, decode};
use rad_dino_quantize::retrieval::{Options as Collecting, retrieval};
use rad_dino_quantize::{DecoderOptions, Options, convert, convert_decoder};
use rad_dino_tests::mutate::{Random, damaged, damaged_text};
use rad_dino_tests::{heads, reference};

use crate::door::Door;

/// Of a file of 100 kB: its packed weights, tract's plan, a pass over 24 × 24 pixels, a heat map.
const MOST: usize = 24 << 20;

/// The checkpoint `smaller` with all heads, in `folder`.
pub fn checkpoint(folder: &Path) {
    for name in ["config.json", "preprocessor_config.json", "model.safetensors"] {
        std::fs::copy(reference().join("checkpoints/smaller").join(name), folder.join(name)).expect(name);
    }
    heads::probes().write(folder, heads::DIM).expect("written");
}

fn model(precision: Precision) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    checkpoint(folder.path());
    let out = folder.path().join("model.onnx");
    convert(folder.path(), &Options::new(precision, &out)).expect("converts");
    std::fs::read(out).expect("written")
}

fn scan() -> Scan {
    let path = reference().join("pillow/grey_noise_37x53.png");
    decode(&std::fs::read(path).expect("committed"), &Limits::default()).expect("a picture")
}

/// Loads a model and asks it for all that it has. Graphs from elsewhere are tract's to read; see SECURITY.md.
fn ask(bytes: &[u8], scan: &Scan) -> Result<(), Error> {
    if !OnnxFile::parse(bytes)?.is_ours() {
        return Ok(());
    }
    let engine = Engine::from_bytes(bytes, 1)?;
    if engine.shape().image_size > 128 {
        return Ok(());
    }
    let reader = Reader::new(engine, "damaged")?;
    let heads = &reader.manifest().heads;
    let heatmap = heads.findings.first().map_or(HeatmapOf::Attention, |f| HeatmapOf::Finding(f.label.clone()));
    let wish = Wish { heatmap: Some(heatmap), masks: !heads.segmentation.is_empty(), report: true, maps: true };
    let reading = reader.read("damaged", scan, Duration::ZERO, &wish)?;
    serde_json::to_vec(&reading.answer).expect("JSON");
    Ok(())
}

#[test]
fn model_files() {
    let scan = scan();
    for (name, precision, seed) in
        [("int8 model", Precision::Int8, 11), ("fp16 model", Precision::Fp16, 12), ("fp32 model", Precision::Fp32, 13)]
    {
        let whole = model(precision);
        let (mut door, mut random) = (Door::new(name, MOST), Random::new(seed));
        assert!(door.try_with(&whole, |bytes| ask(bytes, &scan)).is_some(), "the whole file");
        for _ in 0..1_000 {
            door.try_with(&damaged(&whole, &mut random), |bytes| ask(bytes, &scan));
        }
    }
}

/// Protobuf, by hand: a field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

/// The file with another entry in its metadata; the last one of a key counts.
fn with_metadata(whole: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    [whole, &field(14, &[field(1, key.as_bytes()), field(2, value)].concat())].concat()
}

#[test]
fn manifests_of_models() {
    let (scan, whole) = (scan(), model(Precision::Int8));
    let manifest = OnnxFile::parse(&whole).expect("ours").metadata[MANIFEST_KEY];
    let (mut door, mut random) = (Door::new("model's manifest", MOST), Random::new(21));
    for _ in 0..1_200 {
        let manifest = damaged_text(manifest.as_bytes(), &mut random);
        door.try_with(&with_metadata(&whole, MANIFEST_KEY, &manifest), |bytes| ask(bytes, &scan));
    }
}

/// A decoder with a tokenizer, as a file.
fn decoder(case: &str, precision: Precision) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("decoder.onnx");
    let options = DecoderOptions { precision, out: out.clone(), name: None, model_version: "1".into() };
    convert_decoder(&reference().join("decoders").join(case), &options).expect("converts");
    std::fs::read(out).expect("written")
}

fn write(bytes: &[u8]) -> Result<(), Error> {
    let decoder = Decoder::from_bytes(bytes)?;
    for search in [Search::Greedy, Search::Beam(2), Search::Sample { temperature: 0.8, seed: 3 }] {
        let options = Writing { search, max_new: 4, stop_loops: true };
        let generated = decoder.generate(None, &[0, 1], &options, |_| {})?;
        if let Some(tokenizer) = decoder.tokenizer() {
            assert!(tokenizer.decode(&generated.tokens).len() < 1 << 16);
        }
    }
    Ok(())
}

#[test]
fn report_decoders() {
    for (case, precision, seed) in [("grouped", Precision::Int8, 31), ("biased", Precision::Fp32, 32)] {
        let whole = decoder(case, precision);
        let metadata = OnnxFile::parse(&whole).expect("ours").metadata;
        let (mut door, mut random) = (Door::new("report decoder", MOST), Random::new(seed));
        assert!(door.try_with(&whole, write).is_some(), "the whole file");
        for _ in 0..1_000 {
            door.try_with(&damaged(&whole, &mut random), write);
        }
        for (key, value) in &metadata {
            for _ in 0..500 {
                let value = damaged_text(value.as_bytes(), &mut random);
                door.try_with(&with_metadata(&whole, key, &value), write);
            }
        }
    }
}

/// Two films and their reports, as a file.
fn collection() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("model.onnx"), model(Precision::Int8)).expect("written");
    std::fs::copy(reference().join("pillow/grey_noise_37x53.png"), at("a.png")).expect("committed");
    let rows = "file,source,split,report\na.png,S,train,The heart is normal.\na.png,S,train,No effusion.\n";
    std::fs::write(at("films.csv"), rows).expect("written");
    let options = Collecting {
        data: vec![at("films.csv")],
        cleaning: Default::default(),
        compose: false,
        name: None,
        version: "1".into(),
        licence: String::new(),
        threads: 1,
    };
    retrieval(&at("model.onnx"), &at("out.onnx"), &options, |_, _| {}, |_, _| {}).expect("collects");
    std::fs::read(at("out.onnx")).expect("written")
}

fn look_up(bytes: &[u8]) -> Result<(), Error> {
    if let Author::Retrieval(retrieval) = Author::from_bytes(bytes)? {
        let cls = vec![0.1; retrieval.manifest().encoder_width.min(1 << 16)];
        assert!(retrieval.nearest(&cls).is_none_or(|(_, cosine)| cosine.abs() <= 1.0));
    }
    Ok(())
}

#[test]
fn retrieval_files() {
    let whole = collection();
    let metadata = OnnxFile::parse(&whole).expect("ours").metadata;
    let (mut door, mut random) = (Door::new("retrieval file", MOST), Random::new(41));
    assert!(door.try_with(&whole, look_up).is_some(), "the whole file");
    for _ in 0..2_000 {
        door.try_with(&damaged(&whole, &mut random), look_up);
    }
    for (key, value) in &metadata {
        for _ in 0..500 {
            let value = damaged_text(value.as_bytes(), &mut random);
            door.try_with(&with_metadata(&whole, key, &value), look_up);
        }
    }
}
