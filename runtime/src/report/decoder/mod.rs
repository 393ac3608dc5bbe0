//! A decoder-only transformer (Llama architecture) that writes text, alone or about an image.

mod beam;
mod cache;
mod from_file;
#[cfg(feature = "checkpoint")]
mod from_weights;
mod generate;
mod manifest;
mod network;

use std::path::Path;

use rad_dino_kernels::Isa;
use rad_dino_kernels::map::MappedFile;

use super::tokenizer::Tokenizer;
use crate::engine::{hex, isa_error};
use crate::error::{Error, ErrorKind, Result};
use crate::model::onnx::{OnnxFile, refused};

pub use generate::{Generated, Options, Search, Stop};
pub use manifest::{Architecture, DECODER_KEY, DECODER_SCHEMA, DecoderManifest, ImageInput, TOKENIZER_KEY, pool};

use cache::Cache;
use network::{Network, Scratch};

/// Most positions of image, prompt and answer together.
const MAX_POSITIONS: usize = 1 << 17;
/// Most bytes of cached keys and values, and of what one layer makes of image and prompt.
const MAX_CACHE_BYTES: usize = 2 << 30;

/// A loaded decoder, ready to write; threads may share it.
#[derive(Debug)]
pub struct Decoder {
    network: Network,
    manifest: DecoderManifest,
    tokenizer: Option<Tokenizer>,
    sha256: String,
}

impl Decoder {
    /// Loads a file that `rad-dino-quantize decoder` wrote.
    ///
    /// # Errors
    /// I/O; `Model` for a file that is refused; `Usage` for an unavailable `RDE_ISA`.
    pub fn from_file(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        Self::from_bytes(&map).map_err(|e| e.at(path.display()))
    }

    /// Loads a decoder from the bytes of its file.
    ///
    /// # Errors
    /// As [`Decoder::from_file`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Self::from_onnx(&OnnxFile::parse(bytes)?, bytes)
    }

    /// From a parsed file and its bytes.
    pub(super) fn from_onnx(file: &OnnxFile<'_>, bytes: &[u8]) -> Result<Self> {
        let isa = Isa::from_env().map_err(isa_error)?;
        let manifest = file
            .metadata
            .get(DECODER_KEY)
            .ok_or_else(|| refused("the file is no report decoder").hint("make one with rad-dino-quantize decoder"))?;
        let manifest = DecoderManifest::parse(manifest)?;
        let tokenizer = file.metadata.get(TOKENIZER_KEY).map(|json| Tokenizer::parse(json)).transpose()?;
        let network = from_file::network(file, &manifest, isa)?;
        Ok(Decoder { network, manifest, tokenizer, sha256: hex(bytes) })
    }

    /// What the file says about itself.
    pub fn manifest(&self) -> &DecoderManifest {
        &self.manifest
    }

    /// From tokens to text, when the file has a tokenizer.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_ref()
    }

    /// sha256 of the file, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The logits [I+T, V] of every position of `image` [I, E] (pooled tokens) and `tokens` [T], without a cache.
    ///
    /// # Errors
    /// As [`Decoder::generate`].
    pub fn logits(&self, image: Option<&[f32]>, tokens: &[u32]) -> Result<Vec<f32>> {
        self.check(image, tokens, 0)?;
        let mut scratch = Scratch::default();
        let mut cache = self.cache(tokens.len());
        let hidden = self.read(image, tokens, &mut cache, &mut scratch);
        let mut logits = vec![];
        self.network.logits(&hidden, &mut logits, &mut scratch);
        Ok(logits)
    }

    fn cache(&self, positions: usize) -> Cache {
        let shape = &self.manifest.architecture;
        Cache::new(shape.depth, shape.num_kv_heads, shape.head_dim, positions)
    }

    /// Image and tokens through the blocks: [I+T, D].
    fn read(&self, image: Option<&[f32]>, tokens: &[u32], cache: &mut Cache, scratch: &mut Scratch) -> Vec<f32> {
        let mut x = vec![];
        if let Some(image) = image {
            self.network.project(image, &mut x, scratch);
        }
        self.network.embed(tokens, &mut x);
        self.network.forward(&mut x, cache, scratch);
        x
    }

    /// Refuses what does not fit the decoder, before anything is allocated.
    fn check(&self, image: Option<&[f32]>, tokens: &[u32], new: usize) -> Result<()> {
        let shape = &self.manifest.architecture;
        if let Some(token) = tokens.iter().find(|t| **t as usize >= shape.vocab_size) {
            let message = format!("token {token} is beyond the decoder's {} tokens", shape.vocab_size);
            return Err(Error::new(ErrorKind::Usage, message).hint("check --tokens"));
        }
        let image = match (image, &self.manifest.image) {
            (None, _) => 0,
            (Some(image), Some(input)) if image.len() == input.tokens() * input.encoder_width => input.tokens(),
            _ => {
                return Err(Error::new(ErrorKind::Model, "the encoder's patch tokens do not fit the decoder")
                    .hint("use the encoder that the decoder was trained with"));
            }
        };
        if image + tokens.len() == 0 {
            return Err(Error::new(ErrorKind::Usage, "there is nothing to continue").hint("give at least one token"));
        }
        let positions = tokens.len().saturating_add(image).saturating_add(new);
        let bytes = 8usize.saturating_mul(shape.depth * shape.num_kv_heads * shape.head_dim).saturating_mul(positions);
        let read = self.network.widest().saturating_mul(4).saturating_mul(image + tokens.len());
        if positions > MAX_POSITIONS || bytes.max(read) > MAX_CACHE_BYTES {
            let message = format!("{positions} positions are more than this decoder may keep in memory");
            return Err(Error::new(ErrorKind::Limits, message).hint("lower --max-new or the number of tokens"));
        }
        Ok(())
    }
}
