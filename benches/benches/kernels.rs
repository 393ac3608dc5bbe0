//! Matrix products of ViT-S/14 and ViT-B/14 on every instruction set of this CPU, in multiply-adds a second (one thread).
//! `cargo bench -p rad-dino-benches --bench kernels`

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rad_dino_kernels::{Epilogue, Isa, PackedF32, PackedI8, kernels};

const ROWS: usize = 48;

fn products(c: &mut Criterion) {
    for (k, n) in [(384, 1152), (384, 1536), (1536, 384), (768, 3072)] {
        let mut group = c.benchmark_group(format!("{ROWS}x{k}x{n}"));
        group.throughput(Throughput::Elements((ROWS * k * n) as u64));
        group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
        let weights: Vec<i8> = (0..k * n).map(|i| (i * 31 % 255) as u8 as i8).collect();
        let float = PackedF32::new(k, n, &vec![0.0; n], |i, j| f32::from(weights[i * n + j]));
        let quantised: Vec<u8> = (0..ROWS * k).map(|i| (i * 17 % 255 + 1) as u8).collect();
        let (scales, activations) = (vec![0.01; ROWS], vec![0.5; ROWS * k]);
        let mut out = vec![0.0; ROWS * n];
        for isa in Isa::ALL.into_iter().filter(|isa| *isa != Isa::Scalar) {
            let Ok(set) = kernels(isa) else { continue };
            let int8 = PackedI8::new(isa, k, n, &weights, &vec![0.01; n], &vec![0.0; n]);
            group.bench_function(BenchmarkId::new("int8", isa), |b| {
                b.iter(|| set.linear_i8(ROWS, &quantised, &scales, &int8, &mut out, n, Epilogue::Store));
            });
            group.bench_function(BenchmarkId::new("f32", isa), |b| {
                b.iter(|| set.linear_f32(ROWS, &activations, k, &float, &mut out, n, Epilogue::Store));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, products);
criterion_main!(benches);
