//! The structure of what `convert` writes, and what it refuses. The numbers are checked against ONNX Runtime by
//! tests/reference/check_onnxruntime.py.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use prost::Message;
use rad_dino_edge::checkpoint::{Checkpoint, DType, ProbeHead, Probes, ProbesConfig, SegmentationHead};
use rad_dino_edge::model::manifest::{Calibration, Finding, Heads, MANIFEST_KEY, Manifest, Precision};
use rad_dino_edge::{Error, ErrorKind};
use rad_dino_quantize::{Options, Summary, convert, convert_with};
use tempfile::TempDir;
use tract_onnx::pb::{ModelProto, NodeProto, TensorProto};

const PRECISIONS: [Precision; 3] = [Precision::Fp32, Precision::Fp16, Precision::Int8];
const FLOAT: i32 = 1;
const UINT8: i32 = 2;
const FLOAT16: i32 = 10;

fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data/checkpoints").join(name)
}

fn copy(from: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn model(checkpoint: &Path, precision: Precision) -> (Summary, ModelProto) {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("model.onnx");
    let summary = convert(checkpoint, &Options::new(precision, &out)).unwrap();
    let bytes = fs::read(&out).unwrap();
    assert_eq!(bytes.len() as u64, summary.bytes);
    (summary, ModelProto::decode(bytes.as_slice()).unwrap())
}

fn tensors(model: &ModelProto) -> BTreeMap<&str, &TensorProto> {
    model.graph.as_ref().unwrap().initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect()
}

fn nodes(model: &ModelProto) -> &[NodeProto] {
    &model.graph.as_ref().unwrap().node
}

fn dims(tensor: &TensorProto) -> Vec<i64> {
    tensor.dims.clone()
}

/// Random heads for an encoder of width `d`: findings with a hidden layer, sex, age and view linear, two regions.
fn probes(d: usize) -> Probes {
    let calibration = Calibration { scale: 1.0, offset: 0.0 };
    let findings = ["pneumonia", "pleural_effusion"]
        .map(|label| Finding { label: label.to_owned(), threshold: 0.5, calibration })
        .to_vec();
    let view = vec!["PA".to_owned(), "AP".to_owned(), "lateral".to_owned()];
    let heads = Heads {
        findings,
        sex: Some(calibration),
        age: true,
        view,
        segmentation: vec!["lung".to_owned(), "heart".to_owned()],
    };
    let head = |outputs: usize, hidden: usize| ProbeHead {
        outputs,
        hidden,
        weight: (0..outputs * (2 * d + hidden)).map(|i| (i % 13) as f32 - 6.0).collect(),
        bias: vec![0.5; outputs],
        hidden_weight: (0..hidden * 2 * d).map(|i| (i % 7) as f32 - 3.0).collect(),
        hidden_bias: vec![0.25; hidden],
    };
    let named = [("findings", head(2, 5)), ("sex", head(1, 0)), ("age", head(1, 0)), ("view", head(3, 0))];
    Probes {
        config: ProbesConfig {
            schema: "rad-dino-edge/probes/1".to_owned(),
            heads,
            licence: "CC0-1.0".to_owned(),
            ..ProbesConfig::default()
        },
        heads: named.map(|(name, head)| (name.to_owned(), head)).into(),
        segmentation: Some(segmentation(d)),
    }
}

fn segmentation(d: usize) -> SegmentationHead {
    let values = |n: usize| (0..n).map(|i| ((i * 7 % 11) as f32 - 5.0) / 16.0).collect::<Vec<f32>>();
    let (channels, scale, hidden) = (2, 3, 6);
    let rows = channels * scale * scale;
    SegmentationHead {
        channels,
        scale,
        hidden,
        project_weight: values(hidden * d),
        project_bias: values(hidden),
        convolutions: vec![(values(hidden * hidden * 9), values(hidden)); 2],
        readout_weight: values(rows * hidden),
        readout_bias: values(rows),
    }
}

#[test]
fn every_part_is_one_call_of_a_function_of_the_same_arity() {
    for name in ["plain", "swiglu_bf16", "registers_smaller_sharded"] {
        for precision in PRECISIONS {
            let (_, model) = model(&case(name), precision);
            assert_eq!((model.ir_version, model.producer_name.as_str()), (8, "rad-dino-quantize"));
            let versions: Vec<_> = model.opset_import.iter().map(|o| (o.domain.as_str(), o.version)).collect();
            assert_eq!(versions, [("", 17), ("rad_dino", 1)]);
            let block = match precision {
                Precision::Fp32 => "EncoderBlock",
                Precision::Fp16 => "EncoderBlockF16",
                Precision::Int8 => "EncoderBlockInt8",
            };
            let calls: Vec<&str> = nodes(&model).iter().map(|node| node.op_type.as_str()).collect();
            assert_eq!(calls, ["PatchEmbed", block, block, "FinalNorm"]);
            let tensors = tensors(&model);
            let mut value = "pixel_values";
            for node in nodes(&model) {
                let function = model.functions.iter().find(|f| f.name() == node.op_type).unwrap();
                assert_eq!((node.domain.as_str(), function.domain()), ("rad_dino", "rad_dino"));
                assert_eq!((node.input.len(), node.output.len()), (function.input.len(), function.output.len()));
                let attributes: BTreeSet<_> = node.attribute.iter().map(|a| a.name.as_str()).collect();
                assert_eq!(attributes, function.attribute.iter().map(String::as_str).collect());
                assert!(function.node.iter().all(|inner| inner.domain.is_empty()), "standard operators only");
                assert_eq!(node.input[0], value, "each node follows the one before");
                for (input, formal) in node.input.iter().zip(&function.input).skip(1) {
                    assert!(tensors.contains_key(input.as_str()), "{input}");
                    assert!(input.ends_with(formal.as_str()), "{input} is {formal}");
                }
                value = &node.output[0];
            }
            assert_eq!(value, "last_hidden_state");
            let used: usize = nodes(&model).iter().map(|node| node.input.len() - 1).sum();
            assert_eq!(used, tensors.len(), "every tensor is used once");
        }
    }
}

#[test]
fn weights_have_the_precision_of_the_file() {
    for (precision, kind) in [(Precision::Fp32, FLOAT), (Precision::Fp16, FLOAT16), (Precision::Int8, UINT8)] {
        let (summary, model) = model(&case("plain"), precision);
        let (d, f) = (summary.manifest.architecture.embed_dim as i64, summary.manifest.architecture.mlp_dim as i64);
        let tensors = tensors(&model);
        for (part, shape) in [("qkv", [d, 3 * d]), ("output", [d, d]), ("fc1", [d, f]), ("fc2", [f, d])] {
            let weight = tensors[format!("block1.{part}_weight").as_str()];
            assert_eq!((weight.data_type, dims(weight)), (kind, shape.to_vec()), "{part}");
            let width = [4, 2, 1][PRECISIONS.iter().position(|p| *p == precision).unwrap()];
            assert_eq!(weight.raw_data.len() as i64, shape[0] * shape[1] * width);
            assert_eq!(tensors[format!("block1.{part}_bias").as_str()].data_type, FLOAT);
            let scale = tensors.get(format!("block1.{part}_scale").as_str());
            assert_eq!(scale.map(|s| dims(s)), (precision == Precision::Int8).then(|| vec![shape[1]]));
        }
        let patch = tensors["patch_embed.weight"];
        assert_eq!(patch.data_type, if precision == Precision::Fp32 { FLOAT } else { FLOAT16 });
        assert_eq!(dims(tensors["patch_embed.positions"]), [1, 9, d]);
        for tensor in tensors.values() {
            assert!(tensor.float_data.is_empty() && tensor.int32_data.is_empty(), "{}: raw data only", tensor.name);
        }
    }
}

#[test]
fn layer_scale_and_attention_scale_are_in_the_weights() {
    let (_, model) = model(&case("plain"), Precision::Fp32);
    let weights = Checkpoint::open(&case("plain")).unwrap().encoder_weights().unwrap();
    let tensors = tensors(&model);
    let values = |name: &str| -> Vec<f32> {
        tensors[name].raw_data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let (d, block) = (24, &weights.blocks[0]);
    let (qkv, output, bias) =
        (values("block0.qkv_weight"), values("block0.output_weight"), values("block0.output_bias"));
    let scale = 1.0 / 8f32.sqrt();
    for i in 0..d {
        for j in 0..d {
            assert!((qkv[i * 3 * d + j] - block.query_weight[j * d + i] * scale).abs() < 1e-6);
            assert_eq!(qkv[i * 3 * d + d + j], block.key_weight[j * d + i]);
            assert_eq!(qkv[i * 3 * d + 2 * d + j], block.value_weight[j * d + i]);
            assert_eq!(output[i * d + j], block.output_weight[j * d + i] * block.layer_scale1[j]);
        }
        assert_eq!(bias[i], block.output_bias[i] * block.layer_scale1[i]);
    }
    let prefix = values("patch_embed.prefix");
    assert_eq!(prefix[3], weights.cls_token[3] + weights.position_embeddings[3]);
}

#[test]
fn probes_and_their_words_come_along() {
    let dir = copy(&case("registers"));
    probes(24).write(dir.path(), 24).unwrap();
    let (summary, model) = model(dir.path(), Precision::Int8);
    let outputs =
        ["last_hidden_state", "findings_logits", "sex_logits", "age_years", "view_logits", "segmentation_logits"];
    assert_eq!(summary.outputs, outputs);
    let node = nodes(&model).last().unwrap();
    assert_eq!((node.op_type.as_str(), node.output.as_slice()), ("Probes", &summary.outputs[1..]));
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name).unwrap();
    assert_eq!(attribute("heads").strings, Heads::NAMES.map(|s| s.as_bytes().to_vec()));
    assert_eq!(attribute("hidden").ints, [5, 0, 0, 0, 6]);
    assert_eq!(attribute("segmentation").ints, [2, 3, 2]);
    assert_eq!(attribute("prefix_tokens").i, 5);
    let tensors = tensors(&model);
    assert_eq!(dims(tensors["probes.findings_weight"]), [53, 2]);
    assert_eq!(dims(tensors["probes.findings_hidden_weight"]), [48, 5]);
    assert_eq!(dims(tensors["probes.segmentation_convolution1_weight"]), [6, 6, 3, 3]);
    assert_eq!(dims(tensors["probes.segmentation_readout_weight"]), [18, 6, 1, 1]);
    let function = model.functions.iter().find(|f| f.name() == "Probes").unwrap();
    assert_eq!((node.input.len(), node.output.len()), (function.input.len(), function.output.len()));
    assert!(function.node.iter().all(|inner| inner.domain.is_empty()), "standard operators only");
    let inputs: Vec<&str> = node.input.iter().skip(1).map(|name| name.trim_start_matches("probes.")).collect();
    let first = ["findings_weight", "findings_bias", "findings_hidden_weight", "findings_hidden_bias", "sex_weight"];
    assert_eq!(inputs[..5], first);

    let text = &model.metadata_props.iter().find(|entry| entry.key == MANIFEST_KEY).unwrap().value;
    let manifest: Manifest = serde_json::from_str(text).unwrap();
    assert_eq!(manifest, summary.manifest);
    assert_eq!((manifest.heads, manifest.licence.as_str()), (probes(24).config.heads, "CC0-1.0"));
    assert_eq!(manifest.parent_sha256, Checkpoint::open(dir.path()).unwrap().sha256());
    assert_eq!(manifest.architecture.num_register_tokens, 4);
}

#[test]
fn names_versions_and_sizes_can_be_given() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(Precision::Fp32, dir.path().join("a.onnx"));
    let plain = convert(&case("plain"), &options).unwrap();
    assert_eq!((plain.manifest.name.as_str(), plain.manifest.version.as_str()), ("plain", "1"));
    options.image_size = Some(70);
    options.name = Some("chest".to_owned());
    options.model_version = Some("2.1".to_owned());
    let mut seen = Vec::new();
    let larger = convert_with(&case("plain"), &options, |done, all| seen.push((done, all))).unwrap();
    assert_eq!(seen, [(0, 2), (1, 2), (2, 2)]);
    assert_eq!((larger.manifest.name.as_str(), larger.manifest.version.as_str()), ("chest", "2.1"));
    let pixels = &larger.manifest.preprocessing;
    assert_eq!((pixels.crop_size, pixels.shortest_edge, larger.manifest.architecture.image_size), (70, 70, 70));
}

#[test]
fn the_same_checkpoint_gives_the_same_bytes() {
    for precision in PRECISIONS {
        let (first, second) = (model(&case("plain"), precision), model(&case("plain"), precision));
        assert_eq!(first.0.sha256, second.0.sha256);
    }
}

fn refused(checkpoint: &Path, change: impl FnOnce(&mut Options)) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(Precision::Fp16, dir.path().join("a.onnx"));
    change(&mut options);
    let error = convert(checkpoint, &options).unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind: {error}");
    error
}

#[test]
fn what_cannot_be_converted_says_why() {
    for size in [0, 13, 43, usize::MAX, 14 * 600] {
        let error = refused(&case("plain"), |options| options.image_size = Some(size));
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.message().contains(&size.to_string()), "{error}");
    }
    let dir = copy(&case("plain"));
    fs::remove_file(dir.path().join("preprocessor_config.json")).unwrap();
    assert!(refused(dir.path(), |_| {}).message().contains("preprocessor_config.json"));

    let dir = copy(&case("plain"));
    let checkpoint = Checkpoint::open(&case("plain")).unwrap();
    let mut weights = checkpoint.encoder_weights().unwrap();
    weights.blocks[1].output_weight[7] = 1e9;
    weights.write(dir.path(), checkpoint.preprocessing().unwrap(), DType::F32).unwrap();
    let error = refused(dir.path(), |_| {});
    assert!(error.message().contains("block1.output_weight"), "{error}");

    let dir = copy(&case("plain"));
    probes(23).write(dir.path(), 23).unwrap();
    assert!(refused(dir.path(), |_| {}).message().contains("findings"));

    let error = refused(&case("plain"), |options| options.out = case("plain").join("absent/a.onnx"));
    assert_eq!(error.kind(), ErrorKind::Io);
}
