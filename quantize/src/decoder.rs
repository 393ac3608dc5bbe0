//! `decoder`: a Llama-architecture folder in, a decoder file out.

use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::Llama;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::report::decoder::{DECODER_KEY, DecoderManifest, TOKENIZER_KEY};
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
    let name = options.name.clone().unwrap_or_else(|| folder_name(folder));
    let manifest = DecoderManifest::of(&llama, &name, &options.model_version, options.precision);
    let text = serde_json::to_string(&manifest)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("manifest: {e}")).source(e))?;
    let mut metadata = vec![(DECODER_KEY, text.as_str())];
    metadata.extend(llama.tokenizer.iter().map(|json| (TOKENIZER_KEY, json.as_str())));
    let (bytes, sha256) = onnx::write_decoder(&options.out, &llama, options.precision, &metadata)?;
    Ok(DecoderSummary { bytes, sha256, manifest })
}

/// Converts the decoder under `checkpoint`/report, if there is one, to a file beside the encoder's `out`: X.onnx gets
/// X.report.onnx, int8 where the encoder is int8, else fp32.
///
/// # Errors
/// As [`convert_decoder`].
pub fn convert_beside(checkpoint: &Path, out: &Path, precision: Precision) -> Result<Option<DecoderSummary>> {
    let folder = checkpoint.join("report");
    if !folder.join("config.json").exists() {
        return Ok(None);
    }
    let out = out.with_extension("report.onnx");
    let name = out.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let precision = if precision == Precision::Int8 { Precision::Int8 } else { Precision::Fp32 };
    convert_decoder(&folder, &DecoderOptions { precision, out, name, model_version: "1".to_owned() }).map(Some)
}
