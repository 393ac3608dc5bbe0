//! Every instruction set of this CPU gives the scalar set's bits, on every shape edge.

use proptest::prelude::*;
use rad_dino_kernels::{Epilogue, HeadShape, Isa, Kernels, PackedF32, PackedI8, TokenBlock, kernels};

fn others() -> Vec<Box<dyn Kernels>> {
    Isa::ALL.into_iter().filter(|isa| *isa != Isa::Scalar).filter_map(|isa| kernels(isa).ok()).collect()
}

fn scalar() -> Box<dyn Kernels> {
    kernels(Isa::Scalar).expect("scalar is always there")
}

/// Reproducible values in [−1, 1).
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 23) as f32) - 1.0
        })
        .collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

fn epilogue(i: u8) -> Epilogue {
    [Epilogue::Store, Epilogue::Gelu, Epilogue::Residual][usize::from(i % 3)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn linear_i8(
        rows in 0usize..40, k in prop_oneof![4 => 1usize..130, 1 => Just(64), 1 => Just(128), 1 => 1000usize..2200], n in 1usize..200, seed: u64,
        extreme: bool, e: u8,
    ) {
        let weight: Vec<i8> = values(k * n, seed).iter()
            .map(|v| if extreme { if *v > 0.0 { 127 } else { -127 } } else { (v * 127.0) as i8 }).collect();
        let scale: Vec<f32> = values(n, seed ^ 1).iter().map(|v| v.abs() * 0.01).collect();
        let bias = values(n, seed ^ 2);
        let signed: Vec<i8> = values(rows * k, seed ^ 3).iter()
            .map(|x| if extreme { if *x > 0.0 { 127 } else { -127 } } else { (x * 127.0) as i8 }).collect();
        let scales = values(rows, seed ^ 4);
        let start = values(rows * n, seed ^ 5);
        let run = |kernels: &dyn Kernels| {
            let w = PackedI8::new(kernels.isa(), k, n, &weight, &scale, &bias);
            let mut a = vec![128u8; rows * w.padded_k()];
            for (row, x) in a.chunks_exact_mut(w.padded_k()).zip(signed.chunks_exact(k)) {
                row.iter_mut().zip(x).for_each(|(a, x)| *a = *x as u8 ^ 128);
            }
            let mut out = start.clone();
            kernels.linear_i8(rows, &a, &scales, &w, &mut out, n, epilogue(e));
            bits(&out)
        };
        let truth = run(&*scalar());
        for set in others() {
            prop_assert_eq!(&truth, &run(&*set), "{}", set.isa());
        }
    }

    #[test]
    fn linear_f32(rows in 0usize..20, k in 1usize..70, n in 1usize..200, seed: u64, e: u8) {
        let weight = values(k * n, seed);
        let w = PackedF32::new(k, n, &values(n, seed ^ 2), |i, j| weight[i * n + j]);
        let a = values(rows * k, seed ^ 3);
        let start = values(rows * n, seed ^ 5);
        let run = |kernels: &dyn Kernels| {
            let mut out = start.clone();
            kernels.linear_f32(rows, &a, k, &w, &mut out, n, epilogue(e));
            bits(&out)
        };
        let truth = run(&*scalar());
        for set in others() {
            prop_assert_eq!(&truth, &run(&*set), "{}", set.isa());
        }
    }

    #[test]
    fn rows(rows in 0usize..20, d in 1usize..200, seed: u64, zero: bool, size in 0u8..3) {
        let factor = [1.0, 1e-12, 1e12][usize::from(size)];
        let x: Vec<f32> = values(rows * d, seed).iter().map(|v| if zero { 0.0 } else { v * factor }).collect();
        let (gamma, beta) = (values(d, seed ^ 1), values(d, seed ^ 2));
        let run = |kernels: &dyn Kernels| {
            let mut normed = vec![0.0; rows * d];
            kernels.layer_norm(&x, &gamma, &beta, 1e-6, &mut normed);
            let ldq = d.div_ceil(4) * 4;
            let (mut q, mut scales) = (vec![0; rows * ldq], vec![0.0; rows]);
            kernels.quantise(&x, d, d, &mut q, ldq, &mut scales);
            let mut gated: Vec<f32> = [&x[..], &x[..]].concat();
            kernels.swiglu(&mut gated, 2 * d);
            let mut levelled = [&x[..], &x[..]].concat();
            kernels.level(&mut levelled, 2 * d, &gamma, &beta);
            gated.extend(levelled);
            (bits(&normed), q, bits(&scales), bits(&gated))
        };
        let truth = run(&*scalar());
        prop_assert!(truth.1.iter().all(|q| *q >= 1), "symmetric: −128 is never used");
        for set in others() {
            prop_assert_eq!(&truth, &run(&*set), "{}", set.isa());
        }
    }

    #[test]
    fn a_decoders_step(rows in 1usize..4, d in 1usize..200, cached in 1usize..80, head_dim in 1usize..70, seed: u64) {
        let (x, gamma) = (values(rows * d, seed), values(d, seed ^ 1));
        let (q, keys, cached) = (values(head_dim, seed ^ 2), values(cached * head_dim, seed ^ 3), cached);
        let own = values(cached * head_dim, seed ^ 4);
        let run = |kernels: &dyn Kernels| {
            let (mut normed, mut out) = (vec![0.0; rows * d], vec![0.0; head_dim]);
            kernels.rms_norm(&x, &gamma, 1e-6, &mut normed);
            let mut scores = vec![9.0; cached.next_multiple_of(16)];
            kernels.attend_cached(&q, &keys, &own, &mut scores, &mut out);
            (normed, out)
        };
        let (normed, out) = run(&*scalar());
        for (x, y) in x.chunks_exact(d).zip(normed.chunks_exact(d)) {
            let scale = 1.0 / (x.iter().map(|v| f64::from(v * v)).sum::<f64>() / d as f64 + 1e-6).sqrt();
            for ((x, g), y) in x.iter().zip(&gamma).zip(y) {
                prop_assert!((f64::from(x * g) * scale - f64::from(*y)).abs() < 1e-5);
            }
        }
        let scores = keys.chunks_exact(head_dim).map(|k| k.iter().zip(&q).map(|(k, q)| f64::from(k * q)).sum::<f64>());
        let weights: Vec<f64> = scores.map(f64::exp).collect();
        for (i, y) in out.iter().enumerate() {
            let sum: f64 = weights.iter().zip(own.chunks_exact(head_dim)).map(|(w, v)| w * f64::from(v[i])).sum();
            prop_assert!((sum / weights.iter().sum::<f64>() - f64::from(*y)).abs() < 1e-5);
        }
        for set in others() {
            let (a, b) = run(&*set);
            prop_assert_eq!((bits(&normed), bits(&out)), (bits(&a), bits(&b)), "{}", set.isa());
        }
    }

    #[test]
    fn attention(tokens in 1usize..80, heads in 1usize..4, head_dim in 1usize..40, seed: u64) {
        let shape = HeadShape { tokens, width: heads * head_dim, head_dim };
        let qkv = values(tokens * 3 * shape.width, seed);
        let run = |kernels: &dyn Kernels| {
            let (mut keys, mut values) = (vec![0.0; shape.keys_len()], vec![0.0; shape.values_len()]);
            kernels.pack_head(shape, heads - 1, &qkv, &mut keys, &mut values);
            let mut scores = vec![0.0; shape.scores_len()];
            let mut out = vec![0.0; tokens * head_dim];
            let mut p = vec![0.0; tokens];
            let (head, count) = (heads - 1, tokens);
            kernels.attend(
                shape, head, 0, count, &qkv, &keys, &values, &mut scores, &mut out, head_dim, Some(&mut p),
            );
            (bits(&out), bits(&p), p.iter().sum::<f32>())
        };
        let truth = run(&*scalar());
        prop_assert!((truth.2 - 1.0).abs() < 1e-5, "probabilities sum to one");
        for set in others() {
            prop_assert_eq!(&truth, &run(&*set), "{}", set.isa());
        }
    }
}

/// int8 attention of all heads: [T, D], and the first token's probabilities of the last head.
fn attend_i8(kernels: &dyn Kernels, shape: HeadShape, qkv: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let mut blocks = vec![];
    for rows in qkv.chunks(TokenBlock::TOKENS * 3 * shape.width) {
        let mut block = TokenBlock::default();
        kernels.pack_tokens(shape, rows, &mut block);
        blocks.push(block);
    }
    let mut sums = vec![0.0; shape.sums_len()];
    let (mut out, mut p) = (vec![0.0; shape.tokens * shape.width], vec![0.0; shape.tokens]);
    for head in 0..shape.heads() {
        for (i, queries) in blocks.iter().enumerate() {
            let first = i * TokenBlock::TOKENS;
            let count = (shape.tokens - first).min(TokenBlock::TOKENS);
            let out = &mut out[first * shape.width + head * shape.head_dim..];
            let p = (i == 0).then_some(&mut p[..]);
            kernels.attend_i8(shape, head, queries, 0, count, &blocks, &mut sums, out, shape.width, p);
        }
    }
    (out, p)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn attention_i8(
        tokens in 1usize..200, heads in 1usize..4, head_dim in prop_oneof![1usize..90, Just(64)], seed: u64, size in 0u8..4, flat: bool
    ) {
        let shape = HeadShape { tokens, width: heads * head_dim, head_dim };
        let factor = [1.0, 0.0, 1e12, 30.0][usize::from(size)];
        let level = |v: f32| if flat { v.signum() } else { v };
        let qkv: Vec<f32> = values(tokens * 3 * shape.width, seed).iter().map(|v| level(*v) * factor).collect();
        let (out, p) = attend_i8(&*scalar(), shape, &qkv);
        prop_assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-5, "probabilities sum to one");
        let limit = factor * 1.01;
        prop_assert!(out.iter().all(|x| x.abs() <= limit), "a mean of values stays within their range");
        for set in others() {
            let (other, other_p) = attend_i8(&*set, shape, &qkv);
            prop_assert_eq!(bits(&out), bits(&other), "{}", set.isa());
            prop_assert_eq!(bits(&p), bits(&other_p), "{}", set.isa());
        }
    }
}

#[test]
fn attention_i8_is_near_f64_arithmetic() {
    let shape = HeadShape { tokens: 150, width: 128, head_dim: 64 };
    let qkv: Vec<f32> = values(150 * 3 * 128, 7).iter().map(|v| v * 0.7).collect();
    let (out, p) = attend_i8(&*scalar(), shape, &qkv);
    let at = |t: usize, part: usize, head: usize, i: usize| f64::from(qkv[(t * 3 + part) * 128 + head * 64 + i]);
    let (mut worst, mut worst_p) = (0.0f64, 0.0f64);
    for head in 0..2 {
        for t in 0..150 {
            let scores: Vec<f64> =
                (0..150).map(|u| (0..64).map(|i| at(t, 0, head, i) * at(u, 1, head, i)).sum()).collect();
            let e: Vec<f64> = scores.iter().map(|s: &f64| s.exp()).collect();
            let total: f64 = e.iter().sum();
            for i in 0..64 {
                let truth: f64 = e.iter().enumerate().map(|(u, e)| e / total * at(u, 2, head, i)).sum();
                worst = worst.max((truth - f64::from(out[t * 128 + head * 64 + i])).abs());
            }
            if t == 0 && head == 1 {
                for (p, e) in p.iter().zip(&e) {
                    worst_p = worst_p.max((f64::from(*p) * total / e - 1.0).abs());
                }
            }
        }
    }
    assert!(worst < 0.01, "{worst}");
    assert!(worst_p < 0.1, "{worst_p}");
}

/// The shapes of ViT-S, whole tiles and strips on every set.
#[test]
fn whole_tiles_agree() {
    let (rows, k, n) = (70, 384, 1152);
    let weight: Vec<i8> = values(k * n, 1).iter().map(|v| (v * 127.0) as i8).collect();
    let (scale, bias, x) = (vec![1e-4; n], values(n, 2), values(rows * k, 3));
    let run = |kernels: &dyn Kernels| {
        let w = PackedI8::new(kernels.isa(), k, n, &weight, &scale, &bias);
        let (mut q, mut scales, mut qkv) = (vec![0; rows * k], vec![0.0; rows], vec![0.0; rows * n]);
        kernels.quantise(&x, k, k, &mut q, k, &mut scales);
        kernels.linear_i8(rows, &q, &scales, &w, &mut qkv, n, Epilogue::Gelu);
        let shape = HeadShape { tokens: rows, width: k, head_dim: 64 };
        let (out, p) = attend_i8(kernels, shape, &qkv);
        (bits(&qkv), bits(&out), bits(&p))
    };
    let truth = run(&*scalar());
    for set in others() {
        assert!(truth == run(&*set), "{}", set.isa());
    }
}

#[test]
fn linear_f32_equals_f64_arithmetic() {
    let (rows, k, n) = (7, 33, 50);
    let (a, weight, bias) = (values(rows * k, 1), values(k * n, 2), values(n, 3));
    let w = PackedF32::new(k, n, &bias, |i, j| weight[i * n + j]);
    let mut out = vec![0.0; rows * n];
    scalar().linear_f32(rows, &a, k, &w, &mut out, n, Epilogue::Store);
    for r in 0..rows {
        for c in 0..n {
            let truth: f64 = (0..k).map(|i| f64::from(a[r * k + i]) * f64::from(weight[i * n + c])).sum();
            assert!((f64::from(out[r * n + c]) - truth - f64::from(bias[c])).abs() < 1e-5);
        }
    }
}

#[test]
fn linear_i8_equals_i64_arithmetic() {
    let (rows, k, n) = (5, 19, 21);
    let weight: Vec<i8> = values(k * n, 4).iter().map(|v| (v * 127.0) as i8).collect();
    let w = PackedI8::new(Isa::Scalar, k, n, &weight, &vec![1.0; n], &vec![0.0; n]);
    let a: Vec<u8> = values(rows * 20, 5).iter().map(|v| (v * 127.0) as i8 as u8 ^ 128).collect();
    let mut out = vec![0.0; rows * n];
    scalar().linear_i8(rows, &a, &vec![1.0; rows], &w, &mut out, n, Epilogue::Store);
    for r in 0..rows {
        for c in 0..n {
            let truth: i64 = (0..k).map(|i| (i64::from(a[r * 20 + i]) - 128) * i64::from(weight[i * n + c])).sum();
            assert_eq!(out[r * n + c] as i64, truth);
        }
    }
}
