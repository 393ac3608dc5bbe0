//! Checkpoint folders: encoders with their heads, decoders with their projector.

use std::fs;
use std::path::Path;

use rad_dino_edge::Error;
use rad_dino_edge::checkpoint::{Checkpoint, Llama, PositionInterpolation, Probes, position};
use rad_dino_tests::mutate::{Random, damaged, damaged_text};
use rad_dino_tests::reference;

use crate::door::Door;
use crate::models;

/// Files of 100 kB at most, as f32 a few times over.
const MOST: usize = 8 << 20;

/// Everything that is read of an encoder's folder.
fn encoder(folder: &Path) -> Result<(), Error> {
    let checkpoint = Checkpoint::open(folder)?;
    assert_eq!(checkpoint.sha256().len(), 64);
    let weights = checkpoint.encoder_weights()?;
    weights.check()?;
    position::interpolate(&weights, 2, PositionInterpolation::Size)?;
    Probes::read(folder, weights.config.hidden_size)?;
    Ok(())
}

fn decoder(folder: &Path) -> Result<(), Error> {
    Llama::read(folder).map(drop)
}

/// `count` damaged copies of each file in `folder`, in its place.
fn try_folder(name: &'static str, seed: u64, count: usize, folder: &Path, read: fn(&Path) -> Result<(), Error>) {
    let (mut door, mut random) = (Door::new(name, MOST), Random::new(seed));
    read(folder).expect("a whole folder");
    let mut files: Vec<_> = fs::read_dir(folder).expect("a folder").map(|e| e.expect("an entry").path()).collect();
    files.sort();
    for path in files {
        let whole = fs::read(&path).expect("readable");
        let text = path.extension().is_some_and(|ending| ending == "json");
        for _ in 0..count {
            let bytes = match text {
                true => damaged_text(&whole, &mut random),
                // half of it to the header
                false if random.below(2) == 0 => damaged_header(&whole, &mut random),
                false => damaged(&whole, &mut random),
            };
            fs::write(&path, &bytes).expect("written");
            door.try_with(&bytes, |_| read(folder));
        }
        fs::write(&path, whole).expect("written");
    }
}

/// A safetensors file with a damaged header whose length is right.
fn damaged_header(whole: &[u8], random: &mut Random) -> Vec<u8> {
    let (length, rest) = whole.split_first_chunk().expect("a length");
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header = damaged_text(header, random);
    [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
}

fn copy(case: &str, to: &Path) {
    for entry in fs::read_dir(reference().join(case)).expect("committed") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !["case.json", "reference.safetensors", "expected.json"].contains(&name.as_str()) {
            fs::copy(&path, to.join(name)).expect("copied");
        }
    }
}

#[test]
fn encoders() {
    let folder = tempfile::tempdir().expect("a folder");
    models::checkpoint(folder.path());
    try_folder("encoder with heads", 41, 600, folder.path(), encoder);
    for (seed, case) in ["registers_smaller_sharded", "registers_larger", "swiglu_renamed"].into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&format!("checkpoints/{case}"), folder.path());
        try_folder("encoder", 42 + seed as u64, 250, folder.path(), encoder);
    }
}

#[test]
fn decoders() {
    for (seed, case) in ["grouped", "llama3", "biased"].into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&format!("decoders/{case}"), folder.path());
        try_folder("decoder", 51 + seed as u64, 250, folder.path(), decoder);
    }
}
