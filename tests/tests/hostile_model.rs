//! Model files made to cost more than they weigh: each is refused before the memory is asked for.

use std::path::{Path, PathBuf};

use rad_dino_edge::ErrorKind;
use rad_dino_edge::checkpoint::{Llama, Projector, ReportConfig};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::report::decoder::{Decoder, Options as Writing, Search};
use rad_dino_quantize::{DecoderOptions, convert_decoder};
use rad_dino_tests::reference;

/// Protobuf, by hand: field `number` holding `bytes`.
fn bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &varint(bytes.len() as u64)[..], bytes].concat()
}

fn integer(number: u8, value: u64) -> Vec<u8> {
    [&[number << 3], &varint(value)[..]].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = vec![];
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn tensor(name: &str, dims: &[usize]) -> Vec<u8> {
    let count: usize = dims.iter().product();
    let mut out: Vec<u8> = dims.iter().flat_map(|d| integer(1, *d as u64)).collect();
    out.extend(integer(2, 1));
    out.extend(bytes(8, name.as_bytes()));
    out.extend(bytes(9, &vec![0; count * 4]));
    bytes(5, &out)
}

fn size(name: &str, value: u64) -> Vec<u8> {
    bytes(5, &[bytes(1, name.as_bytes()), integer(3, value)].concat())
}

fn integers(name: &str, values: &[u64]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| integer(8, *v)).collect();
    bytes(5, &[bytes(1, name.as_bytes()), values].concat())
}

fn strings(name: &str, values: &[&str]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|v| bytes(9, v.as_bytes())).collect();
    bytes(5, &[bytes(1, name.as_bytes()), values].concat())
}

fn string(name: &str, value: &str) -> Vec<u8> {
    bytes(5, &[bytes(1, name.as_bytes()), bytes(4, value.as_bytes())].concat())
}

fn epsilon() -> Vec<u8> {
    bytes(5, &[&bytes(1, b"epsilon")[..], &[2 << 3 | 5], &1e-6f32.to_le_bytes()].concat())
}

fn node(op: &str, domain: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Vec<u8> {
    let mut out: Vec<u8> = inputs.iter().flat_map(|input| bytes(1, input.as_bytes())).collect();
    out.extend(outputs.iter().flat_map(|output| bytes(2, output.as_bytes())));
    out.extend(bytes(3, op.as_bytes()));
    out.extend(bytes(4, op.as_bytes()));
    out.extend(attributes.concat());
    out.extend(bytes(7, domain.as_bytes()));
    bytes(1, &out)
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    bytes(7, &graph.concat())
}

/// An encoder of width 1 and depth 0: `grid`² patches of side `p`, its final norm's inputs, and what follows.
fn encoder(grid: usize, p: usize, norm: [&str; 2], rest: &[Vec<u8>]) -> Vec<u8> {
    let mut graph = vec![
        node(
            "PatchEmbed",
            "rad_dino",
            &["x", "w", "b", "prefix", "positions"],
            &["t"],
            &[size("patch_size", p as u64)],
        ),
        node("FinalNorm", "rad_dino", &["t", norm[0], norm[1]], &["last_hidden_state"], &[epsilon()]),
        tensor("w", &[1, 3, p, p]),
        tensor("b", &[1]),
        tensor("prefix", &[1, 1, 1]),
        tensor("positions", &[1, grid * grid, 1]),
        tensor("gamma", &[1]),
        tensor("beta", &[1]),
    ];
    graph.extend_from_slice(rest);
    model(&graph)
}

fn refusal(file: &[u8]) -> String {
    let error = Engine::from_bytes(file, 1).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    assert!(error.remedy().is_some());
    error.message().to_string()
}

#[test]
fn the_encoder_of_these_tests_is_fine_when_it_is_small() {
    let engine = Engine::from_bytes(&encoder(2, 3, ["gamma", "beta"], &[]), 1).expect("loads");
    assert_eq!(engine.shape().image_size, 6);
    engine.run(&[0.0; 3 * 36], 1).expect("runs");
}

#[test]
fn an_input_of_terabytes() {
    let message = refusal(&encoder(65, 64, ["gamma", "beta"], &[]));
    assert!(message.contains("too many"), "{message}");
}

#[test]
fn one_tensor_for_many_nodes() {
    let message = refusal(&encoder(2, 3, ["gamma", "gamma"], &[]));
    assert!(message.contains("`gamma` is used twice"), "{message}");
}

#[test]
fn a_mask_of_gigabytes() {
    let attributes = [
        size("prefix_tokens", 1),
        strings("heads", &["segmentation"]),
        integers("hidden", &[0]),
        integers("segmentation", &[4_096, 1, 0]),
    ];
    let probes = [
        node("Probes", "rad_dino", &["last_hidden_state", "r", "rb"], &["segmentation_logits"], &attributes),
        tensor("r", &[4_096, 1, 1, 1]),
        tensor("rb", &[4_096]),
    ];
    let message = refusal(&encoder(129, 1, ["gamma", "beta"], &probes));
    assert!(message.contains("makes no head"), "{message}");
    Engine::from_bytes(&encoder(16, 1, ["gamma", "beta"], &probes), 1).expect("a smaller one loads");
}

#[test]
fn a_hidden_layer_of_a_mask_of_gigabytes() {
    let probes = |hidden: usize| {
        let attributes = [
            size("prefix_tokens", 1),
            strings("heads", &["segmentation"]),
            integers("hidden", &[hidden as u64]),
            integers("segmentation", &[1, 1, 0]),
        ];
        let inputs = ["last_hidden_state", "p", "pb", "r", "rb"];
        [
            node("Probes", "rad_dino", &inputs, &["segmentation_logits"], &attributes),
            tensor("p", &[hidden, 1, 1, 1]),
            tensor("pb", &[hidden]),
            tensor("r", &[1, hidden, 1, 1]),
            tensor("rb", &[1]),
        ]
    };
    let message = refusal(&encoder(129, 1, ["gamma", "beta"], &probes(4_096)));
    assert!(message.contains("makes no head"), "{message}");
    Engine::from_bytes(&encoder(128, 1, ["gamma", "beta"], &probes(64)), 1).expect("a smaller one loads");
}

#[test]
fn a_feed_forward_layer_of_a_million_units() {
    let block = |hidden: usize| {
        let tensors =
            [("n1", 1), ("n1b", 1), ("qkvb", 3), ("ob", 1), ("n2", 1), ("n2b", 1), ("f1b", hidden), ("f2b", 1)];
        let mut graph = vec![
            node("PatchEmbed", "rad_dino", &["x", "w", "b", "prefix", "positions"], &["t"], &[size("patch_size", 3)]),
            node(
                "EncoderBlock",
                "rad_dino",
                &["t", "n1", "n1b", "qkv", "qkvb", "o", "ob", "n2", "n2b", "f1", "f1b", "f2", "f2b"],
                &["u"],
                &[size("num_heads", 1), string("activation", "gelu"), epsilon()],
            ),
            node("FinalNorm", "rad_dino", &["u", "gamma", "beta"], &["last_hidden_state"], &[epsilon()]),
            tensor("w", &[1, 3, 3, 3]),
            tensor("b", &[1]),
            tensor("prefix", &[1, 1, 1]),
            tensor("positions", &[1, 4, 1]),
            tensor("gamma", &[1]),
            tensor("beta", &[1]),
            tensor("qkv", &[1, 3]),
            tensor("o", &[1, 1]),
            tensor("f1", &[1, hidden]),
            tensor("f2", &[hidden, 1]),
        ];
        graph.extend(tensors.iter().map(|(name, length)| tensor(name, &[*length])));
        model(&graph)
    };
    let message = refusal(&block(1 << 20));
    assert!(message.contains("hidden units"), "{message}");
    let engine = Engine::from_bytes(&block(64), 1).expect("a smaller one loads");
    engine.run(&[0.0; 3 * 36], 1).expect("runs");
}

#[test]
fn a_graph_of_empty_nodes() {
    let message = refusal(&bytes(7, &[10, 0].repeat(1 << 17)));
    assert!(message.contains("more than 65536 nodes"), "{message}");
}

fn decoder(folder: &Path, out: PathBuf) -> Vec<u8> {
    let options =
        DecoderOptions { precision: Precision::Int8, out: out.clone(), name: None, model_version: "1".into() };
    convert_decoder(folder, &options).expect("converts");
    std::fs::read(out).expect("written")
}

#[test]
fn one_tensor_for_many_blocks_of_a_decoder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut file = decoder(&reference().join("decoders/grouped"), folder.path().join("decoder.onnx"));
    Decoder::from_bytes(&file).expect("loads");
    // the second block asks for the first one's tensors
    let (from, to) = (b"layers.1.", b"layers.0.");
    for at in 0..file.len() - from.len() {
        if file[at..].starts_with(from) {
            file[at..at + to.len()].copy_from_slice(to);
        }
    }
    let error = Decoder::from_bytes(&file).expect_err("refused");
    assert!(error.kind() == ErrorKind::Model && error.message().contains("is used twice"), "{error}");
}

#[test]
fn an_image_of_a_decoder_of_gigabytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut llama = Llama::read(&reference().join("decoders/grouped")).expect("committed");
    let (grid, hidden, width) = (362, 1 << 14, llama.config.hidden_size);
    let report = ReportConfig { encoder_width: 1, grid, pool: 1, hidden, max_tokens: 1, ..ReportConfig::default() };
    let projector = Projector {
        fc1_weight: vec![0.5; hidden],
        fc1_bias: vec![0.0; hidden],
        fc2_weight: vec![0.5; hidden * width],
        fc2_bias: vec![0.0; width],
    };
    llama.projector = Some((report, projector));
    let source = folder.path().join("source");
    llama.write(&source).expect("written");
    let decoder = Decoder::from_bytes(&decoder(&source, folder.path().join("decoder.onnx"))).expect("loads");
    let options = Writing { search: Search::Greedy, max_new: 1, stop_loops: false };
    let error = decoder.generate(Some(&vec![0.0; grid * grid]), &[1], &options, |_| {}).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Limits, "{error}");
}

#[test]
fn a_foreign_input_of_exabytes() {
    for side in [0u64, 4_097, 1 << 31, u64::MAX >> 1] {
        let dims = [1, 3, side, side].map(|d| bytes(1, &integer(1, d))).concat();
        let shape = bytes(1, &[integer(1, 1), bytes(2, &dims)].concat());
        let input = bytes(11, &[bytes(1, b"x"), bytes(2, &shape)].concat());
        let output = bytes(12, &bytes(1, b"y"));
        let message = refusal(&model(&[node("Identity", "", &["x"], &["y"], &[]), input, output]));
        assert!(message.contains("tract cannot run this graph"), "{message}");
    }
}
