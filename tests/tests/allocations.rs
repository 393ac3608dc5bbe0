//! After the first call the engine allocates little, and the same in every call: scratch is kept.

use std::alloc::System;

use rad_dino_edge::checkpoint::{Checkpoint, DType};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_quantize::{Options, convert};
use rad_dino_tests::{reference, root};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations and their bytes in each of some calls after the first two.
fn per_call(engine: &Engine, pixels: &[f32], n: usize) -> Vec<(usize, usize)> {
    for _ in 0..2 {
        engine.run(pixels, n).expect("runs");
    }
    let calls = (0..20).map(|_| {
        let region = Region::new(ALLOCATOR);
        engine.run(pixels, n).expect("runs");
        let change = region.change();
        (change.allocations + change.reallocations, change.bytes_allocated)
    });
    calls.collect()
}

/// The same in every call, or the test fails.
fn constant(calls: &[(usize, usize)]) -> (usize, usize) {
    assert!(calls.iter().all(|call| *call == calls[0]), "{calls:?}");
    calls[0]
}

/// An int8 engine of `depth` blocks, from a committed checkpoint's weights.
fn engine(depth: usize, threads: usize) -> Engine {
    let folder = tempfile::tempdir().expect("temporary folder");
    let source = reference().join("checkpoints/plain");
    let checkpoint = Checkpoint::open(&source).expect("opens");
    let mut weights = checkpoint.encoder_weights().expect("weights");
    let block = weights.blocks[0].clone();
    weights.blocks = vec![block; depth];
    weights.config.num_hidden_layers = depth;
    let size = weights.config.image_size;
    let preprocessing = Preprocessing {
        shortest_edge: size,
        crop_size: size,
        rescale_factor: 1.0 / 255.0,
        image_mean: [0.5; 3],
        image_std: [0.5; 3],
    };
    let copy = folder.path().join("checkpoint");
    weights.write(&copy, &preprocessing, DType::F32).expect("written");
    let out = folder.path().join("model.onnx");
    convert(&copy, &Options::new(Precision::Int8, &out)).expect("converts");
    Engine::from_file(&out, threads).expect("loads")
}

// One test: the counters are the process's.
#[test]
fn a_call_allocates_a_small_constant() {
    let path = root().join("models/rad-dino-small.onnx");
    let mut counts = vec![];
    for threads in [1, 2] {
        let engine = Engine::from_file(&path, threads).expect("loads");
        let shape = engine.shape();
        let input = 3 * shape.image_size * shape.image_size;
        let pixels = vec![0.25; 2 * input];
        let one = constant(&per_call(&engine, &pixels[..input], 1));
        let two = constant(&per_call(&engine, &pixels, 2));
        let tokens = (shape.prefix_tokens + shape.patches) * shape.embed_dim;
        let run = engine.run(&pixels[..input], 1).expect("runs");
        let mask = run.get("segmentation_logits").map_or(0, |(_, logits)| logits.len());
        // the graph's input; tokens out of the embedding, out of the final norm, and the caller's copy of them; the mask's
        // logits out of the heads, out of the graph, and the caller's copy
        let tensors = (input + 3 * tokens + 3 * mask) * size_of::<f32>();
        assert!(one.0 <= 100 && two.0 <= 120, "{one:?} {two:?}");
        assert!(one.1 <= tensors + 32_000 && two.1 <= 2 * tensors + 64_000, "{one:?} {two:?}");
        counts.push((one, two));

        let (short, long) = (self::engine(1, threads), self::engine(5, threads));
        let input = 3 * short.shape().image_size * short.shape().image_size;
        let short = constant(&per_call(&short, &pixels[..input], 1));
        let long = constant(&per_call(&long, &pixels[..input], 1));
        // what tract keeps for a node of its plan; a block's own buffers would be thousands of bytes
        assert!(long.0 - short.0 <= 4 * 3 && long.1 - short.1 <= 4 * 256, "{short:?} {long:?}");
    }
    assert_eq!(counts[0], counts[1], "whatever the number of threads");
}
