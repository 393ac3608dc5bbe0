//! The header of a safetensors file with one f32 tensor, for writing rows as they come.

/// Length and JSON header for tensor `name` of `shape`; the values follow, little-endian.
pub fn header(name: &str, shape: &[usize]) -> Vec<u8> {
    let bytes = shape.iter().product::<usize>() * 4;
    let entry = serde_json::json!({ name: { "dtype": "F32", "shape": shape, "data_offsets": [0, bytes] } });
    let mut json = entry.to_string();
    // The format asks for 8-byte alignment of the data.
    while !json.len().is_multiple_of(8) {
        json.push(' ');
    }
    [&(json.len() as u64).to_le_bytes(), json.as_bytes()].concat()
}
