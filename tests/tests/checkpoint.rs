//! Checkpoint folders: what transformers wrote is read, what we write has its names, and every damaged folder is
//! refused with the name of what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::position::{self, PositionInterpolation};
use rad_dino_edge::checkpoint::{Checkpoint, Config, DType, EncoderWeights};
use rad_dino_edge::{Error, ErrorKind};
use rad_dino_tests::{largest_difference, reference, shared, tensors};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

/// dtype, shape and bytes of every tensor of a file.
type Stored = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn cases() -> Vec<PathBuf> {
    let folder = reference().join("checkpoints");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 11, "the reference checkpoints are there");
    cases
}

fn case(name: &str) -> PathBuf {
    reference().join("checkpoints").join(name)
}

fn load(path: &Path) -> Stored {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter().map(|(name, t)| (name.to_owned(), (t.dtype(), t.shape().to_vec(), t.data().to_vec()))).collect()
}

fn save(path: &Path, tensors: &Stored) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

fn copy(from: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
    }
    dir
}

fn weights(dir: &Path) -> Result<EncoderWeights, Error> {
    Checkpoint::open(dir)?.encoder_weights()
}

fn refused(dir: &Path, words: &[&str]) {
    let error = weights(dir).expect_err(&format!("{words:?}"));
    assert_eq!(error.kind(), ErrorKind::Checkpoint, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
}

#[test]
fn positions_are_interpolated_as_torch_does() {
    for dir in cases() {
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        let weights = weights(&dir).unwrap();
        weights.check().unwrap();
        let case: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("case.json")).unwrap()).unwrap();
        let mode = match case["position"].as_str().unwrap() {
            "offset" => PositionInterpolation::Offset,
            _ => PositionInterpolation::Size,
        };
        let grid = case["image_size"].as_u64().unwrap() as usize / weights.config.patch_size;
        let (shape, expected) = tensors(&dir.join("reference.safetensors")).remove("positions").unwrap();
        assert_eq!(shape, [1 + grid * grid, weights.config.hidden_size], "{name}");
        let found = position::interpolate(&weights, grid, mode).unwrap();
        let worst = largest_difference(&found, &expected);
        assert!(worst <= 2e-6, "{name}: {worst}");
        if mode == PositionInterpolation::Offset {
            let other = position::interpolate(&weights, grid, PositionInterpolation::Size).unwrap();
            assert!(largest_difference(&other, &expected) > 1e-3, "the two rules differ");
        }
    }
}

#[test]
fn a_folder_comes_back_as_it_was_written() {
    for dir in cases() {
        let checkpoint = Checkpoint::open(&dir).unwrap();
        let weights = checkpoint.encoder_weights().unwrap();
        let preprocessing = checkpoint.preprocessing().unwrap();
        let out = tempfile::tempdir().unwrap();
        weights.write(out.path(), preprocessing, DType::F32).unwrap();
        let again = Checkpoint::open(out.path()).unwrap();
        assert_eq!(again.config(), checkpoint.config());
        assert_eq!(again.preprocessing(), Some(preprocessing));
        assert_eq!(again.encoder_weights().unwrap(), weights, "{}", dir.display());
        for (dtype, step) in [(DType::F16, 2f32.powi(-11)), (DType::Bf16, 2f32.powi(-8))] {
            weights.write(out.path(), preprocessing, dtype).unwrap();
            let rounded = Checkpoint::open(out.path()).unwrap().encoder_weights().unwrap();
            for (a, b) in rounded.patch_weight.iter().zip(&weights.patch_weight) {
                assert!((a - b).abs() <= b.abs() * step + 1e-7);
            }
            rounded.write(out.path(), preprocessing, dtype).unwrap();
            assert_eq!(Checkpoint::open(out.path()).unwrap().encoder_weights().unwrap(), rounded);
        }
        let names: BTreeSet<_> = fs::read_dir(out.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 3, "no temporary file stays: {names:?}");
    }
}

#[test]
fn names_and_bytes_are_those_of_transformers() {
    for name in ["plain", "odd_width", "registers"] {
        let out = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::open(&case(name)).unwrap();
        let weights = checkpoint.encoder_weights().unwrap();
        weights.write(out.path(), checkpoint.preprocessing().unwrap(), DType::F32).unwrap();
        assert_eq!(load(&out.path().join("model.safetensors")), load(&case(name).join("model.safetensors")), "{name}");
        let text = fs::read_to_string(out.path().join("config.json")).unwrap();
        assert_eq!(&Config::from_json(&text).unwrap(), checkpoint.config());
    }
}

#[test]
fn renamed_files_become_the_published_names() {
    for (name, expected) in [
        ("renamed_larger", "encoder.layer.0.attention.output.dense.weight"),
        ("swiglu_renamed", "encoder.layer.0.mlp.weights_in.weight"),
        ("offset", "encoder.layer.0.attention.attention.value.bias"),
        ("registers_larger", "embeddings.register_tokens"),
    ] {
        let out = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::open(&case(name)).unwrap();
        let weights = checkpoint.encoder_weights().unwrap();
        weights.write(out.path(), checkpoint.preprocessing().unwrap(), DType::F32).unwrap();
        let stored = load(&out.path().join("model.safetensors"));
        assert!(stored.contains_key(expected), "{name}: {:?}", stored.keys());
        assert!(stored.keys().all(|key| !key.contains("_proj")), "{name}");
    }
}

#[test]
fn every_missing_or_misshapen_tensor_is_named() {
    for (name, file) in [
        ("plain", "model.safetensors"),
        ("swiglu_renamed", "model.safetensors"),
        ("registers_larger", "backbone_compatible.safetensors"),
    ] {
        let dir = copy(&case(name));
        let path = dir.path().join(file);
        let whole = load(&path);
        for tensor in whole.keys() {
            let mut tensors = whole.clone();
            let (dtype, shape, bytes) = tensors.remove(tensor).unwrap();
            save(&path, &tensors);
            // a renamed tensor that is gone is asked for under its published name
            let error = weights(dir.path()).unwrap_err().to_string();
            let part = tensor.split('.').next_back().unwrap();
            assert!(error.contains("is missing") && error.contains(part), "{tensor}: {error}");
            if !tensor.contains("_proj") {
                assert!(error.contains(tensor.as_str()), "{tensor}: {error}");
            }
            let mut longer = vec![1, 1];
            longer.extend(&shape);
            tensors.insert(tensor.clone(), (dtype, longer.clone(), bytes));
            save(&path, &tensors);
            refused(dir.path(), &[tensor, &format!("{longer:?}"), &format!("expected {shape:?}")]);
        }
    }
}

#[test]
fn an_extra_tensor_is_named() {
    let dir = copy(&case("plain"));
    let path = dir.path().join("model.safetensors");
    let whole = load(&path);
    for extra in [
        "classifier.weight",
        "encoder.layer.2.norm1.weight",
        "embeddings.register_tokens",
        "encoder.layer.0.attention.q_proj.weight",
        "encoder.layer.1.mlp.weights_in.weight",
    ] {
        let mut tensors = whole.clone();
        tensors.insert(extra.to_owned(), (Dtype::F32, vec![24, 24], vec![0; 24 * 24 * 4]));
        save(&path, &tensors);
        refused(dir.path(), &[extra, "does not belong"]);
    }
}

#[test]
fn wrong_values_are_named() {
    let dir = copy(&case("plain"));
    let path = dir.path().join("model.safetensors");
    let whole = load(&path);
    let name = "encoder.layer.1.norm2.bias";
    for (bytes, dtype, word) in [
        (vec![0; 24 * 4], Dtype::I32, "float32"),
        (f32::NAN.to_le_bytes().repeat(24), Dtype::F32, "not finite"),
        (f32::INFINITY.to_le_bytes().repeat(24), Dtype::F32, "not finite"),
    ] {
        let mut tensors = whole.clone();
        tensors.insert(name.to_owned(), (dtype, vec![24], bytes));
        save(&path, &tensors);
        refused(dir.path(), &[name, word]);
    }
}

#[test]
fn a_file_that_is_cut_or_no_safetensors_is_refused() {
    let dir = copy(&case("plain"));
    let path = dir.path().join("model.safetensors");
    let whole = fs::read(&path).unwrap();
    let header = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    for length in [1, 7, 8, 9, header, header + 8, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        refused(dir.path(), &["model.safetensors", "hint"]);
    }
    for start in [u64::MAX, 1 << 40, 0, 3] {
        let mut bytes = whole.clone();
        bytes[..8].copy_from_slice(&start.to_le_bytes());
        fs::write(&path, bytes).unwrap();
        refused(dir.path(), &["model.safetensors"]);
    }
    fs::write(&path, b"").unwrap();
    assert_eq!(weights(dir.path()).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn shards_must_be_there_and_stay_in_the_folder() {
    let dir = copy(&case("registers_smaller_sharded"));
    let index = dir.path().join("model.safetensors.index.json");
    let whole: serde_json::Value = serde_json::from_slice(&fs::read(&index).unwrap()).unwrap();
    let tensor = "encoder.layer.0.norm1.bias";
    let shard = whole["weight_map"][tensor].as_str().unwrap().to_owned();
    let sha256 = Checkpoint::open(dir.path()).unwrap().sha256();
    assert!(sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit()));

    for outside in ["../model.safetensors", "/etc/hostname", "", "..", "a/b.safetensors", "..\\x"] {
        let mut changed = whole.clone();
        changed["weight_map"][tensor] = outside.into();
        fs::write(&index, changed.to_string()).unwrap();
        refused(dir.path(), &["is not a file name"]);
    }
    let mut changed = whole.clone();
    changed["weight_map"]["embeddings.other"] = shard.clone().into();
    fs::write(&index, changed.to_string()).unwrap();
    refused(dir.path(), &["embeddings.other", &shard]);

    fs::write(&index, whole.to_string()).unwrap();
    let stored = load(&dir.path().join(&shard));
    let other = whole["weight_map"].as_object().unwrap().values().find(|v| **v != shard.as_str()).unwrap();
    let other = dir.path().join(other.as_str().unwrap());
    let (before, mut twice) = (load(&other), load(&other));
    twice.extend(stored.into_iter().filter(|(name, _)| name == tensor));
    save(&other, &twice);
    refused(dir.path(), &[tensor, "two shards"]);

    save(&other, &before);
    weights(dir.path()).unwrap();
    fs::remove_file(dir.path().join(&shard)).unwrap();
    let error = weights(dir.path()).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.message().contains(&shard), "{error}");
    for text in ["", "[]", "{}", r#"{"weight_map":{}}"#, r#"{"weight_map":{"a":3}}"#] {
        fs::write(&index, text).unwrap();
        refused(dir.path(), &["model.safetensors.index.json"]);
    }
}

#[test]
fn a_folder_without_its_files_says_what_to_do() {
    let dir = copy(&case("plain"));
    fs::remove_file(dir.path().join("model.safetensors")).unwrap();
    fs::write(dir.path().join("pytorch_model.bin"), b"x").unwrap();
    refused(dir.path(), &["no model.safetensors", "save_pretrained"]);
    fs::remove_file(dir.path().join("config.json")).unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.message().contains("config.json"), "{error}");

    let dir = copy(&case("plain"));
    fs::remove_file(dir.path().join("preprocessor_config.json")).unwrap();
    assert!(Checkpoint::open(dir.path()).unwrap().preprocessing().is_none());
    fs::write(dir.path().join("preprocessor_config.json"), "{}").unwrap();
    refused(dir.path(), &["preprocessor_config.json"]);
}

#[test]
fn the_trained_checkpoint_is_read() {
    let Some(shared) = shared() else { return };
    let dir = shared.join("weights/dinov2-small");
    if !dir.is_dir() {
        return eprintln!("skipped: no {}", dir.display());
    }
    let checkpoint = Checkpoint::open(&dir).unwrap();
    let weights = checkpoint.encoder_weights().unwrap();
    assert_eq!((weights.blocks.len(), weights.config.grid(), weights.config.mlp_dim()), (12, 37, 1536));
    let stored: usize =
        load(&dir.join("model.safetensors")).values().map(|(_, s, _)| s.iter().product::<usize>()).sum();
    assert_eq!(stored, 22_056_576);
    let tiny = weights.patch_weight.iter().filter(|v| v.abs() > 10.0).count();
    assert_eq!(tiny, 0, "f16 is decoded as f16");
}
