//! The same bytes on every architecture: fingerprints of what the scalar set gives on x86-64, kept in
//! reference/fingerprints.txt, which every set of every build must reproduce.
//!
//! `RDE_WRITE_REFERENCE=1 cargo test -p rad-dino-kernels --test same_bytes` writes the file anew from the scalar set.

use std::fmt::Write;

use rad_dino_kernels::{Epilogue, HeadShape, Isa, Kernels, PackedF32, PackedI8, TokenBlock, kernels};

/// Reproducible values in [−1, 1), exact in f32.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 40) as f32 / (1 << 23) as f32) - 1.0
        })
        .collect()
}

/// FNV-1a over the values' bits.
fn fingerprint(values: &[f32]) -> u64 {
    let bytes = values.iter().flat_map(|x| x.to_bits().to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// One line an operation.
fn fingerprints(kernels: &dyn Kernels) -> String {
    let mut lines = String::new();
    let mut line = |name: &str, values: &[f32]| {
        writeln!(lines, "{name} {:016x}", fingerprint(values)).expect("a string takes all");
    };
    for (rows, k, n) in [(70, 384, 128), (7, 53, 37)] {
        let (x, bias) = (values(rows * k, 1), values(n, 2));
        let weight = values(k * n, 3);
        let bytes: Vec<i8> = weight.iter().map(|w| (w * 127.0) as i8).collect();
        let w = PackedI8::new(kernels.isa(), k, n, &bytes, &vec![1e-3; n], &bias);
        let (mut q, mut scales) = (vec![0; rows * w.padded_k()], vec![0.0; rows]);
        kernels.quantise(&x, k, k, &mut q, w.padded_k(), &mut scales);
        line(&format!("scales {k}"), &scales);
        let f = PackedF32::new(k, n, &bias, |i, j| weight[i * n + j]);
        for (name, e) in [("store", Epilogue::Store), ("gelu", Epilogue::Gelu), ("residual", Epilogue::Residual)] {
            let mut out = values(rows * n, 4);
            kernels.linear_i8(rows, &q, &scales, &w, &mut out, n, e);
            line(&format!("int8 {k} {name}"), &out);
            let mut out = values(rows * n, 4);
            kernels.linear_f32(rows, &x, k, &f, &mut out, n, e);
            line(&format!("f32 {k} {name}"), &out);
        }
        let mut normed = vec![0.0; rows * k];
        kernels.layer_norm(&x, &values(k, 5), &values(k, 6), 1e-6, &mut normed);
        line(&format!("layer_norm {k}"), &normed);
        kernels.rms_norm(&x, &values(k, 5), 1e-6, &mut normed);
        line(&format!("rms_norm {k}"), &normed);
        let mut gated = values(rows * 2 * k, 7);
        kernels.swiglu(&mut gated, 2 * k);
        line(&format!("swiglu {k}"), &gated);
        kernels.level(&mut gated, 2 * k, &values(k, 5), &values(k, 6));
        line(&format!("level {k}"), &gated);
    }
    for (tokens, heads, head_dim) in [(130, 2, 64), (67, 3, 21)] {
        let cached = values(tokens * head_dim, 9);
        let (mut scores, mut out) = (vec![0.0; tokens.next_multiple_of(16)], vec![0.0; head_dim]);
        kernels.attend_cached(&values(head_dim, 10), &cached, &values(tokens * head_dim, 11), &mut scores, &mut out);
        line(&format!("cached attention {head_dim}"), &out);
        let shape = HeadShape { tokens, width: heads * head_dim, head_dim };
        let width = shape.width;
        let qkv: Vec<f32> = values(tokens * 3 * width, 8).iter().map(|x| x * 3.0).collect();
        let (mut out, mut p) = (vec![0.0; tokens * width], vec![0.0; tokens]);
        let (mut keys, mut packed) = (vec![0.0; shape.keys_len()], vec![0.0; shape.values_len()]);
        let mut scores = vec![0.0; shape.scores_len()];
        kernels.pack_head(shape, 1, &qkv, &mut keys, &mut packed);
        kernels.attend(shape, 1, 0, tokens, &qkv, &keys, &packed, &mut scores, &mut out, width, Some(&mut p));
        line(&format!("attention {head_dim}"), &out);
        line(&format!("probabilities {head_dim}"), &p);
        let mut blocks = vec![];
        for rows in qkv.chunks(TokenBlock::TOKENS * 3 * width) {
            let mut block = TokenBlock::default();
            kernels.pack_tokens(shape, rows, &mut block);
            blocks.push(block);
        }
        let mut sums = vec![0.0; shape.sums_len()];
        kernels.attend_i8(shape, 1, &blocks[0], 0, 64, &blocks, &mut sums, &mut out, width, Some(&mut p));
        line(&format!("int8 attention {head_dim}"), &out);
        line(&format!("int8 probabilities {head_dim}"), &p);
    }
    lines
}

#[test]
fn every_set_gives_the_reference_bytes() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/fingerprints.txt");
    if std::env::var_os("RDE_WRITE_REFERENCE").is_some() {
        let scalar = kernels(Isa::Scalar).expect("scalar is always there");
        std::fs::write(&path, fingerprints(&*scalar)).expect("written");
    }
    let reference = std::fs::read_to_string(&path).expect("the reference is committed");
    for set in Isa::ALL.into_iter().filter_map(|isa| kernels(isa).ok()) {
        let ours = fingerprints(&*set);
        let other: Vec<_> = reference.lines().zip(ours.lines()).filter(|(a, b)| a != b).collect();
        assert!(reference == ours, "{}: {other:?}", set.isa());
        eprintln!("{}: {} fingerprints", set.isa(), ours.lines().count());
    }
}
