//! The trainable encoder against transformers, and its way back into a checkpoint.
#![cfg(feature = "burn")]

use std::path::{Path, PathBuf};

use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::checkpoint::Checkpoint;
use rad_dino_train::vit::Encoder;
use rad_dino_train::vit::linear::values;
use safetensors::SafeTensors;

/// Folders of the reference checkpoints whose position table transformers resamples to a size.
fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data/checkpoints");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|e| e.unwrap().path()).collect();
    cases.retain(|case| std::fs::read_to_string(case.join("case.json")).unwrap().contains("\"size\""));
    cases.sort();
    cases
}

fn floats(file: &SafeTensors, name: &str) -> (Vec<usize>, Vec<f32>) {
    let view = file.tensor(name).unwrap();
    let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (view.shape().to_vec(), values)
}

#[test]
fn forward_equals_transformers_at_every_shape() {
    let cases = cases();
    assert!(cases.len() >= 10, "{cases:?}");
    for case in cases {
        let checkpoint = Checkpoint::open(&case).unwrap();
        let weights = checkpoint.encoder_weights().unwrap();
        let device = Default::default();
        let encoder = Encoder::<Flex>::from_weights(&weights, &device).unwrap();
        let bytes = std::fs::read(case.join("reference.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (shape, pixels) = floats(&file, "pixel_values");
        let pixels = Tensor::<Flex, 4>::from_data(TensorData::new(pixels, shape), &device);
        let tokens = values(encoder.forward(pixels, None, None).unwrap());
        let (_, expected) = floats(&file, "last_hidden_state");
        assert_eq!(tokens.len(), expected.len());
        let worst = tokens.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 1e-4, "{}: {worst}", case.display());
        assert_eq!(encoder.to_weights(checkpoint.config()).unwrap(), weights, "{}", case.display());
    }
}

#[test]
fn the_mask_token_takes_the_place_of_the_patch_but_not_of_its_position() {
    let case = cases().into_iter().find(|c| c.ends_with("plain")).unwrap();
    let weights = Checkpoint::open(&case).unwrap().encoder_weights().unwrap();
    let device = Default::default();
    let encoder = Encoder::<Flex>::from_weights(&weights, &device).unwrap();
    let pixels = |v: f32| Tensor::<Flex, 4>::full([1, 3, 42, 42], v, &device);
    let mask = |hidden: usize| {
        let row: Vec<f32> = (0..9).map(|i| f32::from(u8::from(i < hidden))).collect();
        Some(Tensor::<Flex, 2>::from_data(TensorData::new(row, [1, 9]), &device))
    };
    let run = |v: f32, hidden: usize| values(encoder.forward(pixels(v), mask(hidden), None).unwrap());
    assert_eq!(run(0.3, 0), values(encoder.forward(pixels(0.3), None, None).unwrap()));
    // with everything hidden the pixels do not matter, yet the tokens differ from each other by their positions
    let hidden = run(0.3, 9);
    assert_eq!(hidden, run(-0.7, 9));
    assert_ne!(hidden[24..48], hidden[48..72]);
    assert_ne!(run(0.3, 4), run(0.3, 0));
}
