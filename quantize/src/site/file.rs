//! A model file with another manifest: every other byte is copied as it is.

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};
use rad_dino_edge::model::manifest::MANIFEST_KEY;
use rad_dino_edge::{Error, ErrorKind, Result};
use tract_onnx::pb::StringStringEntryProto;

/// Field number of `metadata_props` in onnx.proto's ModelProto.
const METADATA: u32 = 14;

/// The bytes of `model` with `json` as its manifest.
///
/// # Errors
/// When `model` is no ONNX file or has no manifest.
pub(super) fn with_manifest(model: &[u8], json: &str) -> Result<Vec<u8>> {
    let broken = |e: prost::DecodeError| Error::new(ErrorKind::Model, format!("no ONNX file: {e}"));
    let mut out = Vec::with_capacity(model.len() + json.len());
    let mut rest = model;
    let mut replaced = false;
    while !rest.is_empty() {
        let field = rest;
        let (tag, wire) = decode_key(&mut rest).map_err(broken)?;
        if wire == WireType::LengthDelimited {
            let length = decode_varint(&mut rest).map_err(broken)?;
            let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
            let length = length.ok_or_else(|| Error::new(ErrorKind::Model, "the file is cut off"))?;
            let (content, behind) = rest.split_at(length);
            rest = behind;
            if tag == METADATA {
                let mut entry = StringStringEntryProto::decode(content).map_err(broken)?;
                if entry.key == MANIFEST_KEY {
                    json.clone_into(&mut entry.value);
                    encode_key(METADATA, WireType::LengthDelimited, &mut out);
                    encode_varint(entry.encoded_len() as u64, &mut out);
                    entry.encode(&mut out).map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
                    replaced = true;
                    continue;
                }
            }
        } else {
            skip_field(wire, tag, &mut rest, DecodeContext::default()).map_err(broken)?;
        }
        out.extend_from_slice(&field[..field.len() - rest.len()]);
    }
    match replaced {
        true => Ok(out),
        false => Err(Error::new(ErrorKind::Model, "the file has no manifest")
            .hint("make a model file with rad-dino-quantize convert")),
    }
}

#[cfg(test)]
mod tests {
    use tract_onnx::pb::{GraphProto, ModelProto};

    use super::*;

    fn model(manifest: &str) -> ModelProto {
        let entry = |key: &str, value: &str| StringStringEntryProto { key: key.into(), value: value.into() };
        ModelProto {
            ir_version: 8,
            producer_name: "x".into(),
            graph: Some(GraphProto { name: "g".repeat(300), ..GraphProto::default() }),
            metadata_props: vec![entry("other", "kept"), entry(MANIFEST_KEY, manifest)],
            ..ModelProto::default()
        }
    }

    #[test]
    fn only_the_manifest_changes() {
        let bytes = model("{\"old\":1}").encode_to_vec();
        let long = "y".repeat(1000);
        assert_eq!(ModelProto::decode(&*with_manifest(&bytes, &long).unwrap()).unwrap(), model(&long));
        assert!(with_manifest(&bytes[..bytes.len() - 3], "").is_err());
        assert_eq!(with_manifest(&ModelProto::default().encode_to_vec(), "").unwrap_err().kind(), ErrorKind::Model);
    }
}
