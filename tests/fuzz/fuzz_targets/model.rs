//! Any bytes as a model file of ours: loaded and run, or refused. Graphs from elsewhere are tract's to read; see
//! SECURITY.md.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::onnx::OnnxFile;
use rad_dino_edge::reader::{HeatmapOf, Reader, Wish};
use rad_dino_edge::scan::{Format, Pixels, Scan};
use rad_dino_fuzz::{check_error, tell_panics};

fuzz_target!(|bytes: &[u8]| {
    tell_panics();
    match OnnxFile::parse(bytes) {
        Ok(file) if !file.is_ours() => return,
        Ok(_) => {}
        Err(error) => return check_error(&error),
    }
    let engine = match Engine::from_bytes(bytes, 1) {
        Ok(engine) => engine,
        Err(error) => return check_error(&error),
    };
    let shape = engine.shape();
    if shape.image_size > 128 || shape.embed_dim > 512 {
        return;
    }
    let reader = match Reader::new(engine, "fuzzed") {
        Ok(reader) => reader,
        Err(error) => return check_error(&error),
    };
    let scan = Scan {
        width: 60,
        height: 40,
        pixels: Pixels::Gray8((0..2_400u32).map(|i| (i % 251) as u8).collect()),
        format: Format::Png,
        sha256: String::new(),
        tags: Default::default(),
    };
    let heads = &reader.manifest().heads;
    let heatmap = heads.findings.first().map_or(HeatmapOf::Attention, |f| HeatmapOf::Finding(f.label.clone()));
    let wish = Wish { heatmap: Some(heatmap), masks: !heads.segmentation.is_empty(), report: true, maps: true };
    if let Err(error) = reader.read("fuzzed", &scan, std::time::Duration::ZERO, &wish) {
        check_error(&error);
    }
});
