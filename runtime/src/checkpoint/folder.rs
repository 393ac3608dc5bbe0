//! A checkpoint folder that was opened for reading.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::names::Layout;
use super::tensors::Tensors;
use super::{Config, EncoderWeights, config, read, read_text};
use crate::error::{Error, ErrorKind, Result};
use crate::preprocess::Preprocessing;

const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const DINOV2_LAYOUT: &str = "backbone_compatible.safetensors";
const PREPROCESSOR: &str = "preprocessor_config.json";
const MAX_SHARDS: usize = 1_024;

/// An encoder's folder: its config is parsed, its weights are memory-mapped and only read when asked for.
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    config: Config,
    mask_token: bool,
    preprocessing: Option<Preprocessing>,
    tensors: Tensors,
    layout: Layout,
}

impl Checkpoint {
    /// Opens `dir`. Weights are `model.safetensors`, or the shards of `model.safetensors.index.json`, or
    /// `backbone_compatible.safetensors` (the names of facebookresearch/dinov2), the first of them that exists.
    /// Errors name the file, the key or the tensor.
    pub fn open(dir: &Path) -> Result<Self> {
        let config_path = dir.join("config.json");
        let text = read_text(&config_path)
            .map_err(|e| e.hint("a checkpoint folder holds config.json and model.safetensors"))?;
        let config = Config::from_json(&text).map_err(|e| e.at(config_path.display()))?;
        let preprocessor = dir.join(PREPROCESSOR);
        let preprocessing = match preprocessor.exists() {
            true => {
                let text = read_text(&preprocessor)?;
                Some(Preprocessing::from_json(&text).map_err(|e| e.at(dir.display()))?)
            }
            false => None,
        };
        let (tensors, layout) = map_weights(dir)?;
        let mask_token = config::uses_mask_token(&text) || layout == Layout::Dinov2;
        Ok(Checkpoint { dir: dir.to_owned(), config, mask_token, preprocessing, tensors, layout })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Shapes.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// `preprocessor_config.json`, if the folder has one.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// sha256 (hex) of the safetensors file; of shards, of their bytes one after the other in the order of their names.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        self.tensors.files().iter().for_each(|file| hash.update(file));
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// All weights as f32. A tensor that is missing, extra, misshapen, not finite or no float is an error naming it.
    pub fn encoder_weights(&self) -> Result<EncoderWeights> {
        let mut reader = self.tensors.reader();
        let weights = read::encoder(&mut reader, &self.config, self.layout, self.mask_token)?;
        reader.finish()?;
        Ok(weights)
    }
}

pub(super) fn map_weights(dir: &Path) -> Result<(Tensors, Layout)> {
    for (name, layout) in [(SINGLE, Layout::HuggingFace), (INDEX, Layout::HuggingFace), (DINOV2_LAYOUT, Layout::Dinov2)]
    {
        let path = dir.join(name);
        if !path.exists() {
            continue;
        }
        let mut tensors = Tensors::new(&path);
        if name == INDEX {
            shards(&path, &mut tensors)?;
        } else {
            tensors.add(&path)?;
        }
        return Ok((tensors, layout));
    }
    let hint = if dir.join("pytorch_model.bin").exists() {
        "pytorch_model.bin is not read; load it with transformers and save_pretrained with safe_serialization=True"
    } else {
        "download the folder again, with its weights"
    };
    Err(Error::new(ErrorKind::Checkpoint, format!("{}: no {SINGLE} in this folder", dir.display())).hint(hint))
}

/// The part of the index file that says where a tensor is.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn shards(path: &Path, tensors: &mut Tensors) -> Result<()> {
    let refuse = |message: String| {
        Error::new(ErrorKind::Checkpoint, format!("{}: {message}", path.display())).hint("download the file again")
    };
    let index: Index = serde_json::from_str(&read_text(path)?)
        .map_err(|e| refuse(format!("not a safetensors index: {e}")).source(e))?;
    let names: BTreeSet<&str> = index.weight_map.values().map(String::as_str).collect();
    if names.is_empty() || names.len() > MAX_SHARDS {
        return Err(refuse(format!("{} shards, must be 1 to {MAX_SHARDS}", names.len())));
    }
    for name in names {
        if !is_plain_file_name(name) {
            return Err(refuse(format!("shard {name:?} is not a file name"))
                .hint("shards must lie in the checkpoint's own folder"));
        }
        tensors.add(&path.with_file_name(name))?;
    }
    match index.weight_map.iter().find(|(tensor, _)| !tensors.contains(tensor)) {
        Some((tensor, shard)) => Err(refuse(format!("tensor {tensor} is missing, it should be in {shard}"))
            .hint("download the shards again; they must belong together")),
        None => Ok(()),
    }
}

fn is_plain_file_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    let one = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name);
    one && !name.contains(['/', '\\', ':', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_names_stay_in_the_folder() {
        for name in ["model-00001-of-00002.safetensors", "a"] {
            assert!(is_plain_file_name(name), "{name}");
        }
        for name in ["", ".", "..", "../a", "/etc/passwd", "a/b", "a/", "c:\\a", "..\\a", "a\0b", "./a"] {
            assert!(!is_plain_file_name(name), "{name}");
        }
    }
}
