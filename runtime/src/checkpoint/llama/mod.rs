//! A decoder's folder: `LlamaForCausalLM` as Hugging Face transformers writes it, its tokenizer.json, and beside them,
//! when it was trained to read images, projector.safetensors and report.json.

mod config;
mod projector;
mod rope;
mod weights;
mod write;

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{folder, read_text};
use crate::error::Result;

pub use config::LlamaConfig;
pub use projector::{Projector, ReportConfig};
pub use rope::Rope;
pub use weights::{LlamaBlock, LlamaWeights};

/// A decoder that was read from its folder.
#[derive(Clone, Debug)]
pub struct Llama {
    /// Shapes and special tokens.
    pub config: LlamaConfig,
    /// All weights as f32.
    pub weights: LlamaWeights,
    /// From patch tokens to the decoder's width, when the folder has one.
    pub projector: Option<(ReportConfig, Projector)>,
    /// The text of tokenizer.json, when the folder has one.
    pub tokenizer: Option<String>,
    /// sha256 (hex) of the safetensors files in the order of their names.
    pub sha256: String,
}

impl Llama {
    /// Reads `dir`: config.json, the weights (one file or an index with shards; f32, f16 or bf16), and
    /// generation_config.json, tokenizer.json, report.json and projector.safetensors where they are there.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Checkpoint`] naming the file, key or tensor that does not fit.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text =
            read_text(&path).map_err(|e| e.hint("a decoder's folder holds config.json and model.safetensors"))?;
        let mut config = LlamaConfig::from_json(&text).map_err(|e| e.at(path.display()))?;
        let optional = |name: &str| {
            let path = dir.join(name);
            path.exists().then(|| read_text(&path)).transpose()
        };
        if let Some(generation) = optional("generation_config.json")? {
            config.take_generation(&generation).map_err(|e| e.at(dir.join("generation_config.json").display()))?;
        }
        let (tensors, _) = folder::map_weights(dir)?;
        let mut reader = tensors.reader();
        let weights = LlamaWeights::read(&mut reader, &config)?;
        reader.finish()?;
        let mut hash = Sha256::new();
        tensors.files().iter().for_each(|file| hash.update(file));
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let tokenizer = optional("tokenizer.json")?;
        let projector =
            optional("report.json")?.map(|json| Projector::read(dir, &json, config.hidden_size)).transpose()?;
        Ok(Llama { config, weights, projector, tokenizer, sha256 })
    }
}
