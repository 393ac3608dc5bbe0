//! A BERT folder as transformers writes it: config.json, tokenizer.json, model.safetensors.

use std::path::Path;

use burn::tensor::backend::Backend;
use half::{bf16, f16};
use rad_dino_edge::{Error, ErrorKind, Result};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use tokenizers::{PaddingParams, PaddingStrategy, Tokenizer, TruncationParams};

use super::bert::{Bert, BertBlock};
use crate::vit::linear::{layer_norm, linear, matrix};

/// Largest file that is read, bytes.
const LARGEST: u64 = 4_000_000_000;

/// A text encoder and the tokenizer that belongs to it.
#[derive(Debug)]
pub struct BertFolder<B: Backend> {
    /// The weights.
    pub bert: Bert<B>,
    /// Its words.
    pub tokenizer: WordPieces,
}

/// Texts as numbers of a fixed count.
#[derive(Debug)]
pub struct WordPieces {
    tokenizer: Tokenizer,
}

#[derive(Debug, Deserialize)]
struct Config {
    model_type: String,
    hidden_act: String,
    hidden_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f64,
    max_position_embeddings: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    vocab_size: usize,
}

impl<B: Backend> BertFolder<B> {
    /// Reads the folder `dir`; texts become at most `length` numbers.
    ///
    /// # Errors
    /// `Io`, or `Checkpoint` naming file and tensor.
    pub fn read(dir: &Path, length: usize, device: &B::Device) -> Result<Self> {
        let path = dir.join("config.json");
        let refuse = |what: String| {
            Error::new(ErrorKind::Checkpoint, format!("{}: {what}", path.display()))
                .hint("give a BERT folder of sentence-transformers, such as all-MiniLM-L6-v2")
        };
        let config: Config = serde_json::from_slice(&bytes(&path)?).map_err(|e| refuse(e.to_string()))?;
        let sizes = [config.hidden_size, config.intermediate_size, config.vocab_size, config.num_hidden_layers];
        let fits = config.num_attention_heads > 0 && config.hidden_size.is_multiple_of(config.num_attention_heads);
        if config.model_type != "bert" || config.hidden_act != "gelu" || !fits {
            return Err(refuse("not a BERT with GELU".to_owned()));
        }
        if sizes.iter().any(|s| !(1..=1 << 20).contains(s)) || config.max_position_embeddings < length {
            return Err(refuse(format!("sizes are out of range, or fewer than {length} positions")));
        }
        let path = dir.join("model.safetensors");
        let file = bytes(&path)?;
        let weights = Weights::new(&file, &path.display().to_string())?;
        let bert = weights.bert(&config, device)?;
        let tokenizer = WordPieces::read(&dir.join("tokenizer.json"), length, config.vocab_size)?;
        Ok(BertFolder { bert, tokenizer })
    }
}

impl WordPieces {
    fn read(path: &Path, length: usize, words: usize) -> Result<Self> {
        let refuse = |what: String| Error::new(ErrorKind::Checkpoint, format!("{}: {what}", path.display()));
        let mut tokenizer = Tokenizer::from_bytes(bytes(path)?).map_err(|e| refuse(e.to_string()))?;
        if tokenizer.get_vocab_size(true) > words {
            return Err(refuse(format!("more words than the {words} of the weights")));
        }
        let cut = TruncationParams { max_length: length, ..Default::default() };
        tokenizer.with_truncation(Some(cut)).map_err(|e| refuse(e.to_string()))?;
        let fill = PaddingParams { strategy: PaddingStrategy::Fixed(length), ..Default::default() };
        tokenizer.with_padding(Some(fill));
        Ok(WordPieces { tokenizer })
    }

    /// Numbers of `text`, filled up to the length, and which of them are there (1, else 0). The XXXX of
    /// de-identification is left out.
    ///
    /// # Errors
    /// `Data` when the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let hidden = |word: &&str| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            !word.is_empty() && word.chars().all(|c| c.eq_ignore_ascii_case(&'x'))
        };
        let words: Vec<&str> = text.split_whitespace().filter(|w| !hidden(w)).collect();
        let encoding = self
            .tokenizer
            .encode(words.join(" "), true)
            .map_err(|e| Error::new(ErrorKind::Data, format!("a report could not be tokenized: {e}")))?;
        let known = encoding.get_attention_mask().iter().map(|m| *m as f32).collect();
        Ok((encoding.get_ids().iter().map(|id| *id as usize).collect(), known))
    }
}

struct Weights<'a> {
    tensors: SafeTensors<'a>,
    prefix: &'static str,
    file: String,
}

impl<'a> Weights<'a> {
    fn new(bytes: &'a [u8], file: &str) -> Result<Self> {
        let tensors = SafeTensors::deserialize(bytes)
            .map_err(|e| Error::new(ErrorKind::Checkpoint, format!("{file}: not a whole safetensors file: {e}")))?;
        // BertModel's own names, or those below a head
        let prefix = if tensors.tensor("bert.embeddings.word_embeddings.weight").is_ok() { "bert." } else { "" };
        Ok(Weights { tensors, prefix, file: file.to_owned() })
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let name = format!("{}{name}", self.prefix);
        let refuse = |what: String| {
            Error::new(ErrorKind::Checkpoint, format!("{}: tensor {name}: {what}", self.file))
                .hint("download the folder again")
        };
        let tensor = self.tensors.tensor(&name).map_err(|e| refuse(e.to_string()))?;
        if tensor.shape() != shape {
            return Err(refuse(format!("{:?}, expected {shape:?}", tensor.shape())));
        }
        let bytes = tensor.data();
        let values: Vec<f32> = match tensor.dtype() {
            Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
            Dtype::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
            Dtype::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
            other => return Err(refuse(format!("{other:?} is no float"))),
        };
        if values.iter().any(|v| !v.is_finite()) {
            return Err(refuse("not finite".to_owned()));
        }
        Ok(values)
    }

    fn bert<B: Backend>(&self, config: &Config, device: &B::Device) -> Result<Bert<B>> {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let norm = |name: &str| -> Result<_> {
            let (weight, bias) = (self.get(&format!("{name}.weight"), &[d])?, self.get(&format!("{name}.bias"), &[d])?);
            Ok(layer_norm(&weight, &bias, config.layer_norm_eps, device))
        };
        let layer = |name: &str, inputs: usize, outputs: usize| -> Result<_> {
            let weight = self.get(&format!("{name}.weight"), &[outputs, inputs])?;
            let bias = self.get(&format!("{name}.bias"), &[outputs])?;
            Ok(linear(&weight, Some(&bias), inputs, device))
        };
        let words = self.get("embeddings.word_embeddings.weight", &[config.vocab_size, d])?;
        let rows = config.max_position_embeddings;
        let mut positions = self.get("embeddings.position_embeddings.weight", &[rows, d])?;
        let kinds = self.get("embeddings.token_type_embeddings.weight", &[2, d])?;
        for row in positions.chunks_exact_mut(d) {
            row.iter_mut().zip(&kinds).for_each(|(p, k)| *p += k);
        }
        let block = |i: usize| -> Result<BertBlock<B>> {
            let at = |part: &str| format!("encoder.layer.{i}.{part}");
            Ok(BertBlock {
                query: layer(&at("attention.self.query"), d, d)?,
                key: layer(&at("attention.self.key"), d, d)?,
                value: layer(&at("attention.self.value"), d, d)?,
                output: layer(&at("attention.output.dense"), d, d)?,
                norm1: norm(&at("attention.output.LayerNorm"))?,
                fc1: layer(&at("intermediate.dense"), d, f)?,
                fc2: layer(&at("output.dense"), f, d)?,
                norm2: norm(&at("output.LayerNorm"))?,
            })
        };
        Ok(Bert {
            words: matrix(&words, config.vocab_size, d, device),
            positions: matrix(&positions, rows, d, device),
            norm: norm("embeddings.LayerNorm")?,
            blocks: (0..config.num_hidden_layers).map(block).collect::<Result<_>>()?,
            heads: config.num_attention_heads,
        })
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if size > LARGEST {
        return Err(Error::new(ErrorKind::Limits, format!("{}: {size} bytes, at most {LARGEST}", path.display()))
            .hint("give a smaller text encoder"));
    }
    std::fs::read(path).map_err(|e| Error::io(path, e))
}
