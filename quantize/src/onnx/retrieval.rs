//! The retrieval graph: cosines, up to the length of `cls`, between a film and those whose reports are known.

use std::path::Path;

use rad_dino_edge::Result;
use rad_dino_edge::report::retrieval::FILMS;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{GraphProto, NodeProto};

use super::builder::{Side, typed_value};
use super::write::write_parts;
use super::{attribute, linear};

/// Writes `films` [R, `width`], each of length 1, as a graph from `cls` [N, `width`] to `similarity` [N, R]; gives the file's
/// size in bytes and its sha256 (hex).
pub(crate) fn write_retrieval(
    path: &Path,
    films: &[f32],
    width: usize,
    metadata: &[(&str, &str)],
) -> Result<(u64, String)> {
    let rows = films.len() / width.max(1);
    let node = |op: &str, input: &[&str], output: &str, attribute| NodeProto {
        name: output.to_owned(),
        op_type: op.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute: vec![attribute],
        ..NodeProto::default()
    };
    let sides = |last| [Side::Named("N"), Side::Fixed(last)];
    let graph = GraphProto {
        name: "retrieval".to_owned(),
        node: vec![
            node("Cast", &[FILMS], "rows", attribute::integer("to", DataType::Float as i64)),
            node("Gemm", &["cls", "rows"], "similarity", attribute::integer("transB", 1)),
        ],
        input: vec![typed_value("cls", DataType::Float, &sides(width))],
        output: vec![typed_value("similarity", DataType::Float, &sides(rows))],
        ..GraphProto::default()
    };
    write_parts(path, &[], &graph, &[linear::half(FILMS, &[rows, width], films)?], metadata)
}
