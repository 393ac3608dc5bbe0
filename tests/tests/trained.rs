//! The trained ViT-S/14 against transformers at 224 and 518 px, when it is there.

use rad_dino_edge::engine::Engine;
use rad_dino_tests::{largest_difference, reference, shared, tensors};

/// The formula of tests/reference/make_trained.py.
fn pixels(size: usize) -> Vec<f32> {
    let mut state = 1u32;
    (0..3 * size * size)
        .map(|i| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (y, x) = (i / size % size, i % size);
            let smooth = (y * 3 + x * 2) * 512 / size % 512;
            (((smooth + (state >> 24) as usize) % 1024) as f32 - 512.0) / 256.0
        })
        .collect()
}

#[test]
fn fp32_equals_transformers_at_both_sizes() {
    let Some(shared) = shared() else { return };
    let weights = shared.join("weights/dinov2-small");
    let reference = tensors(&reference().join("trained.safetensors"));
    for size in [224, 518] {
        let engine = Engine::from_checkpoint(&weights, Some(size), 2).expect("loads");
        let outputs = engine.run(&pixels(size), 1).expect("runs");
        let width = engine.shape().embed_dim;
        let tokens = &reference[&format!("tokens_{size}")].1;
        let ours: Vec<f32> =
            tokens.iter().flat_map(|t| &outputs.hidden()[*t as usize * width..][..width]).copied().collect();
        let difference = largest_difference(&ours, &reference[&format!("hidden_{size}")].1);
        assert!(difference <= 1e-4, "{size} px: {difference}");
    }
}
