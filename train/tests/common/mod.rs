//! What the binary's tests share: the binary, and a small random encoder.

use std::path::Path;
use std::process::{Command, Output};

use rad_dino_edge::checkpoint::DType;
use rad_dino_edge::model::manifest::Architecture;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_train::features::random::{Shape, weights};

/// Width of [`encoder`].
pub const DIM: usize = 48;

/// Runs the binary.
pub fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rad-dino-train")).args(arguments).output().unwrap()
}

/// What the binary prints, when all is fine.
pub fn fine(arguments: &[&str]) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Writes the folder of a random encoder of two blocks, for 56 pixels.
pub fn encoder(dir: &Path, registers: usize) {
    let family = if registers == 0 { "dinov2" } else { "dinov2_with_registers" };
    let architecture = Architecture {
        family: family.to_owned(),
        image_size: 56,
        patch_size: 14,
        embed_dim: DIM,
        depth: 2,
        num_heads: 3,
        mlp_dim: 2 * DIM,
        num_register_tokens: registers,
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
