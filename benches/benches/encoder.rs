//! Whole encoders side by side: ours in fp32, fp16 and int8, and tract running the same fp32 graph with its own operators.
//! `cargo bench -p rad-dino-benches --bench encoder`

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use rad_dino_benches::{inline::inline_functions, random};
use rad_dino_edge::checkpoint::DType;
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_quantize::{Options, convert};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

fn encoders(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("temporary folder");
    for (name, width, size) in [("vit_s_224", 384, 224), ("vit_s_518", 384, 518)] {
        let checkpoint = folder.path().join(name);
        let preprocessing = Preprocessing {
            shortest_edge: size,
            crop_size: size,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.5; 3],
            image_std: [0.25; 3],
        };
        let weights = random::encoder(width, 12, 1);
        weights.write(&checkpoint, &preprocessing, DType::F16).expect("written");
        let pixels = random::pixels(1, size);
        let mut group = c.benchmark_group(name);
        group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
        for precision in [Precision::Fp32, Precision::Fp16, Precision::Int8] {
            let out = folder.path().join(format!("{name}.{}.onnx", precision.as_str()));
            convert(&checkpoint, &Options::new(precision, &out)).expect("converts");
            for threads in [1, 2] {
                let engine = Engine::from_file(&out, threads).expect("loads");
                group.bench_function(BenchmarkId::new(format!("ours {}", precision.as_str()), threads), |b| {
                    b.iter(|| engine.run(&pixels, 1).expect("runs"));
                });
            }
        }
        let bytes = std::fs::read(folder.path().join(format!("{name}.fp32.onnx"))).expect("readable");
        let plain = inline_functions(&<ModelProto as prost::Message>::decode(&*bytes).expect("ONNX"));
        for threads in [1, 2] {
            let run = tract(&plain, size, threads);
            group.bench_function(BenchmarkId::new("tract fp32", threads), |b| b.iter(|| run(&pixels)));
        }
        group.finish();
    }
}

/// tract's own operators on the plain graph.
fn tract(model: &ModelProto, size: usize, threads: usize) -> impl Fn(&[f32]) {
    let executor = if threads == 1 {
        tract_linalg::multithread::Executor::SingleThread
    } else {
        tract_linalg::multithread::Executor::multithread(threads)
    };
    let mut graph = onnx().model_for_proto_model(model).expect("tract reads the graph");
    graph.set_input_fact(0, f32::fact([1, 3, size, size]).into()).expect("a fixed input");
    let plan = graph.into_optimized().and_then(TypedModel::into_runnable).expect("tract plans");
    move |pixels| {
        let input = Tensor::from_shape(&[1, 3, size, size], pixels).expect("a tensor").into_tvalue();
        let run = || plan.run(tvec!(input.clone())).expect("tract runs");
        tract_linalg::multithread::multithread_tract_scope(executor.clone(), run);
    }
}

criterion_group!(benches, encoders);
criterion_main!(benches);
