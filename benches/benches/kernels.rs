//! Matrix products of ViT-S/14 and ViT-B/14 and attention of ViT-S/14 at 224 px on every instruction set of this CPU, in
//! multiply-adds a second (one thread).
//! `cargo bench -p rad-dino-benches --bench kernels`

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rad_dino_kernels::{Epilogue, HeadShape, Isa, PackedF32, PackedI8, TokenBlock, kernels};

const ROWS: usize = 64;

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

fn attention(c: &mut Criterion) {
    let shape = HeadShape { tokens: 257, width: 384, head_dim: 64 };
    let values = shape.tokens * 3 * shape.width;
    let qkv: Vec<f32> = (0..values).map(|i| (i * 2_654_435_761 % 1000) as f32 / 500.0 - 1.0).collect();
    let mut group = c.benchmark_group("attention_257x384");
    group.throughput(Throughput::Elements(2 * (shape.tokens * shape.tokens * shape.width) as u64));
    group.sample_size(20).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    let (mut sums, mut out) = (vec![0.0; shape.sums_len()], vec![0.0; shape.tokens * shape.width]);
    for isa in Isa::ALL.into_iter().filter(|isa| *isa != Isa::Scalar) {
        let Ok(set) = kernels(isa) else { continue };
        let rows = qkv.chunks(TokenBlock::TOKENS * 3 * shape.width);
        let mut blocks: Vec<_> = rows.clone().map(|_| TokenBlock::default()).collect();
        group.bench_function(BenchmarkId::new("int8", isa), |b| {
            b.iter(|| {
                rows.clone().zip(&mut blocks).for_each(|(rows, block)| set.pack_tokens(shape, rows, block));
                for head in 0..shape.heads() {
                    for (i, queries) in blocks.iter().enumerate() {
                        let first = i * TokenBlock::TOKENS;
                        let count = (shape.tokens - first).min(TokenBlock::TOKENS);
                        let out = &mut out[first * shape.width + head * shape.head_dim..];
                        set.attend_i8(shape, head, queries, 0, count, &blocks, &mut sums, out, shape.width, None);
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, products, attention);
criterion_main!(benches);
