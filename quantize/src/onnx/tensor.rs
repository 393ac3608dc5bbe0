//! Tensors with raw little-endian data.

use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

fn raw(name: &str, dims: &[usize], data_type: DataType, raw_data: Vec<u8>) -> TensorProto {
    let dims = dims.iter().map(|side| *side as i64).collect();
    TensorProto { name: name.to_owned(), dims, data_type: data_type as i32, raw_data, ..TensorProto::default() }
}

pub(super) fn f32s(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    raw(name, dims, DataType::Float, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// `bytes` are halves, little-endian.
pub(super) fn f16s(name: &str, dims: &[usize], bytes: Vec<u8>) -> TensorProto {
    raw(name, dims, DataType::Float16, bytes)
}

/// `values` + 128, as unsigned bytes.
pub(super) fn around_128(name: &str, dims: &[usize], values: &[i8]) -> TensorProto {
    raw(name, dims, DataType::Uint8, values.iter().map(|v| v.cast_unsigned() ^ 0x80).collect())
}

pub(super) fn u8_scalar(value: u8) -> TensorProto {
    raw("", &[], DataType::Uint8, vec![value])
}

pub(super) fn f32_scalar(value: f32) -> TensorProto {
    f32s("", &[], &[value])
}

pub(super) fn i64s(values: &[i64]) -> TensorProto {
    raw("", &[values.len()], DataType::Int64, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

pub(super) fn i64_scalar(value: i64) -> TensorProto {
    raw("", &[], DataType::Int64, value.to_le_bytes().to_vec())
}
