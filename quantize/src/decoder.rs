//! `decoder`: a Llama-architecture folder in, a decoder file out.

use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::Llama;
use rad_dino_edge::model::manifest::{NOTICE, Precision};
use rad_dino_edge::report::decoder::{
    Architecture, DECODER_KEY, DECODER_SCHEMA, DecoderManifest, ImageInput, TOKENIZER_KEY,
};
use rad_dino_edge::report::tokenizer::Tokenizer;
use rad_dino_edge::{Error, ErrorKind, Result};

use crate::convert::folder_name;
use crate::onnx;

/// What to make of a decoder's folder.
#[derive(Clone, Debug)]
pub struct DecoderOptions {
    /// fp32 or int8.
    pub precision: Precision,
    /// The file to write.
    pub out: PathBuf,
    /// Name in the manifest; the folder's name when None.
    pub name: Option<String>,
    /// Version in the manifest.
    pub model_version: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct DecoderSummary {
    /// Size of the file.
    pub bytes: u64,
    /// sha256 (hex) of the file.
    pub sha256: String,
    /// The manifest inside the file.
    pub manifest: DecoderManifest,
}

/// Converts the decoder in `folder` as `options` say.
///
/// # Errors
/// What [`Llama::read`] refuses; a tokenizer.json that the runtime cannot decode with; f16; a file above 2 GiB; a failed
/// write.
pub fn convert_decoder(folder: &Path, options: &DecoderOptions) -> Result<DecoderSummary> {
    if options.precision == Precision::Fp16 {
        return Err(Error::new(ErrorKind::Usage, "decoders are written as fp32 or int8").hint("use --precision int8"));
    }
    let llama = Llama::read(folder)?;
    if let Some(json) = &llama.tokenizer {
        Tokenizer::parse(json).map_err(|e| e.at(folder.display()))?;
    }
    let manifest = manifest(folder, &llama, options);
    let text = serde_json::to_string(&manifest)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("manifest: {e}")).source(e))?;
    let mut metadata = vec![(DECODER_KEY, text.as_str())];
    metadata.extend(llama.tokenizer.iter().map(|json| (TOKENIZER_KEY, json.as_str())));
    let (bytes, sha256) = onnx::write_decoder(&options.out, &llama, options.precision, &metadata)?;
    Ok(DecoderSummary { bytes, sha256, manifest })
}

fn manifest(folder: &Path, llama: &Llama, options: &DecoderOptions) -> DecoderManifest {
    let config = &llama.config;
    let report = llama.projector.as_ref().map(|(report, _)| report.clone());
    let image = report.as_ref().map(|report| ImageInput {
        encoder_width: report.encoder_width,
        grid: report.grid,
        pool: report.pool,
        hidden: report.hidden,
        encoder_sha256: report.encoder_sha256.clone(),
        max_tokens: report.max_tokens,
    });
    let report = report.unwrap_or_default();
    DecoderManifest {
        schema: DECODER_SCHEMA.to_owned(),
        name: options.name.clone().unwrap_or_else(|| folder_name(folder)),
        version: options.model_version.clone(),
        precision: options.precision,
        architecture: Architecture {
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            depth: config.num_hidden_layers,
            num_heads: config.num_attention_heads,
            num_kv_heads: config.num_key_value_heads,
            head_dim: config.head_dim,
            rms_norm_eps: config.rms_norm_eps as f32,
        },
        bos_token: config.bos_token_id,
        eos_tokens: config.eos_token_ids.clone(),
        image,
        training_data: report.training_data,
        licence: report.licence,
        metrics: report.metrics,
        parent_sha256: llama.sha256.clone(),
        notice: NOTICE.to_owned(),
    }
}
