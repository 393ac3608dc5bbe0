//! The protobuf bytes, written tensor by tensor, so that the weights are not held twice.

use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use rad_dino_edge::output::write::atomic;
use rad_dino_edge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};
use tract_onnx::pb::{FunctionProto, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorProto};

use super::{Builder, DOMAIN, OPSET};

/// Field numbers of onnx.proto.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
/// The largest protobuf message that readers accept.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Writes the encoder's file, whole or not at all; gives its size in bytes and its sha256 (hex).
pub(crate) fn write(path: &Path, builder: &Builder, metadata: &[(&str, &str)]) -> Result<(u64, String)> {
    write_parts(path, &builder.functions, &builder.graph(), &builder.tensors, metadata)
}

/// [`write`] of any graph whose tensors are held apart.
pub(super) fn write_parts(
    path: &Path,
    functions: &[FunctionProto],
    graph: &GraphProto,
    all_tensors: &[TensorProto],
    metadata: &[(&str, &str)],
) -> Result<(u64, String)> {
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto { key: (*key).into(), value: (*value).into() };
    let opset = |domain: &str, version| OperatorSetIdProto { domain: domain.to_owned(), version };
    let head = ModelProto {
        ir_version: 8,
        opset_import: vec![opset("", OPSET), opset(DOMAIN, 1)],
        producer_name: "rad-dino-quantize".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        model_version: 1,
        metadata_props: metadata.iter().map(entry).collect(),
        functions: functions.to_vec(),
        ..ModelProto::default()
    };
    let mut head = head.encode_to_vec();
    let graph = graph.encode_to_vec();
    let tensors: u64 = all_tensors.iter().map(|tensor| framed(GRAPH_INITIALIZER, tensor.encoded_len())).sum();
    let graph_bytes = graph.len() as u64 + tensors;
    // fields of a message may come in any order, so the graph can be the last
    encode_key(MODEL_GRAPH, WireType::LengthDelimited, &mut head);
    encode_varint(graph_bytes, &mut head);
    let total = head.len() as u64 + graph_bytes;
    if total > MAX_BYTES {
        let message = format!("{}: {} MiB are more than an ONNX file can hold", path.display(), total >> 20);
        return Err(Error::new(ErrorKind::Usage, message).hint("convert with --precision fp16 or int8"));
    }
    let mut hash = Sha256::new();
    atomic(path, |file| {
        let mut put = |bytes: &[u8]| {
            hash.update(bytes);
            file.write_all(bytes)
        };
        put(&head)?;
        put(&graph)?;
        let mut buffer = Vec::new();
        for tensor in all_tensors {
            buffer.clear();
            encode_key(GRAPH_INITIALIZER, WireType::LengthDelimited, &mut buffer);
            encode_varint(tensor.encoded_len() as u64, &mut buffer);
            tensor.encode(&mut buffer).map_err(std::io::Error::other)?;
            put(&buffer)?;
        }
        Ok(())
    })?;
    Ok((total, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Bytes of a length-delimited field whose content has `length` bytes.
fn framed(tag: u32, length: usize) -> u64 {
    (prost::encoding::key_len(tag) + prost::encoding::encoded_len_varint(length as u64) + length) as u64
}
