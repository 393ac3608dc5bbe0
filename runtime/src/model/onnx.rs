//! An ONNX file seen in place: nodes, initialisers as slices of the file, metadata. Only what a model of ours needs.

use std::collections::BTreeMap;

use super::wire::{Fields, malformed};
use crate::error::{Error, ErrorKind, Result};

/// The domain of our model-local functions.
pub const DOMAIN: &str = "rad_dino";

/// Nodes, inputs and outputs of a graph, each; beyond any real one. An empty one takes two bytes of a file.
const MAX_PARTS: usize = 1 << 16;

/// A parsed file that borrows all tensor data.
#[derive(Debug, Default)]
pub struct OnnxFile<'a> {
    /// Nodes of the main graph, in file order.
    pub nodes: Vec<Node<'a>>,
    /// Initialisers by name.
    pub tensors: BTreeMap<&'a str, Tensor<'a>>,
    /// Inputs and outputs of the graph: name and dimensions (None = symbolic).
    pub inputs: Vec<(&'a str, Vec<Option<usize>>)>,
    /// Outputs of the graph.
    pub outputs: Vec<&'a str>,
    /// metadata_props.
    pub metadata: BTreeMap<&'a str, &'a str>,
}

/// A node.
#[derive(Debug, Default)]
pub struct Node<'a> {
    /// Its name.
    pub name: &'a str,
    /// Operator or function name.
    pub op_type: &'a str,
    /// Domain; empty for standard operators.
    pub domain: &'a str,
    /// Input value names.
    pub inputs: Vec<&'a str>,
    /// Output value names.
    pub outputs: Vec<&'a str>,
    attributes: BTreeMap<&'a str, Attribute<'a>>,
}

#[derive(Debug, Default)]
struct Attribute<'a> {
    float: Option<f32>,
    integer: Option<i64>,
    string: Option<&'a str>,
    integers: Vec<i64>,
    strings: Vec<&'a str>,
}

/// An initialiser.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// Shape.
    pub dims: Vec<usize>,
    /// ONNX element type.
    pub data_type: i64,
    /// Little-endian elements; the length fits the shape.
    pub raw: &'a [u8],
}

/// ONNX's number for f32.
pub const FLOAT: i64 = 1;
/// ONNX's number for u8.
pub const UINT8: i64 = 2;
/// ONNX's number for i8.
pub const INT8: i64 = 3;
/// ONNX's number for f16.
pub const FLOAT16: i64 = 10;

impl<'a> OnnxFile<'a> {
    /// Reads the structure of `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::Model`] when the bytes are not protobuf, or a tensor's data does not fit its shape.
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut file = OnnxFile::default();
        let mut graph = None;
        for field in Fields(bytes) {
            match field? {
                (7, v) => graph = Some(v.bytes()?),
                (14, v) => {
                    let (key, value) = pair(v.bytes()?)?;
                    file.metadata.insert(key, value);
                }
                _ => {}
            }
        }
        let graph = graph.ok_or_else(|| malformed("it holds no graph"))?;
        for field in Fields(graph) {
            match field? {
                (1, v) => file.nodes.push(node(v.bytes()?)?),
                (5, v) => {
                    let tensor = tensor(v.bytes()?)?;
                    file.tensors.insert(tensor.name, tensor);
                }
                (11, v) => file.inputs.push(value_info(v.bytes()?)?),
                (12, v) => file.outputs.push(value_info(v.bytes()?)?.0),
                _ => {}
            }
            if file.nodes.len().max(file.inputs.len()).max(file.outputs.len()) > MAX_PARTS {
                return Err(refused(format!("its graph has more than {MAX_PARTS} nodes, inputs or outputs")));
            }
        }
        Ok(file)
    }

    /// Whether the graph is made of our functions.
    pub fn is_ours(&self) -> bool {
        self.nodes.iter().any(|node| node.domain == DOMAIN)
    }

    /// The initialiser called `name`.
    ///
    /// # Errors
    /// When there is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor<'a>> {
        self.tensors.get(name).ok_or_else(|| refused(format!("tensor `{name}` is missing")))
    }
}

impl Node<'_> {
    /// The integer attribute `name`, positive and below 2³¹.
    ///
    /// # Errors
    /// When it is missing or out of range.
    pub fn size(&self, name: &str) -> Result<usize> {
        let value = self.attributes.get(name).and_then(|a| a.integer);
        value
            .and_then(|v| usize::try_from(v).ok())
            .filter(|v| (1..1 << 31).contains(v))
            .ok_or_else(|| refused(format!("node `{}`: attribute `{name}` is missing or out of range", self.name)))
    }

    /// The float attribute `name`.
    ///
    /// # Errors
    /// When it is missing.
    pub fn float(&self, name: &str) -> Result<f32> {
        let value = self.attributes.get(name).and_then(|a| a.float);
        value.ok_or_else(|| refused(format!("node `{}`: attribute `{name}` is missing", self.name)))
    }

    /// The string attribute `name`, if there.
    pub fn string(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).and_then(|a| a.string)
    }

    /// The strings attribute `name`, empty when missing.
    pub fn strings(&self, name: &str) -> &[&str] {
        self.attributes.get(name).map_or(&[], |a| &a.strings)
    }

    /// The integers attribute `name`, empty when missing.
    pub fn integers(&self, name: &str) -> &[i64] {
        self.attributes.get(name).map_or(&[], |a| &a.integers)
    }
}

impl Tensor<'_> {
    /// Refuses another shape than `dims`.
    ///
    /// # Errors
    /// Names the tensor with both shapes.
    pub fn expect_shape(&self, dims: &[usize]) -> Result<()> {
        if self.dims == dims {
            return Ok(());
        }
        Err(refused(format!("tensor `{}` has shape {:?}, expected {dims:?}", self.name, self.dims)))
    }

    /// The values as f32, from f32 or f16.
    ///
    /// # Errors
    /// For any other type.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        match self.data_type {
            FLOAT => Ok(self.raw.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()),
            FLOAT16 => Ok(self.raw.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect()),
            other => Err(refused(format!("tensor `{}` has element type {other}, expected f32 or f16", self.name))),
        }
    }

    /// Whether these are int8 weights: bytes around 128, or signed ones as in older files.
    pub fn is_int8(&self) -> bool {
        matches!(self.data_type, UINT8 | INT8)
    }

    /// The values of int8 weights.
    ///
    /// # Errors
    /// For any other type.
    pub fn to_i8(&self) -> Result<Vec<i8>> {
        let flip = match self.data_type {
            UINT8 => 0x80,
            INT8 => 0,
            other => {
                return Err(refused(format!("tensor `{}` has element type {other}, expected u8 or i8", self.name)));
            }
        };
        Ok(self.raw.iter().map(|b| (b ^ flip).cast_signed()).collect())
    }
}

/// A model that this build does not run.
pub(crate) fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Model, message.into()).hint("make the file again with rad-dino-quantize convert")
}

fn pair(bytes: &[u8]) -> Result<(&str, &str)> {
    let (mut key, mut value) = ("", "");
    for field in Fields(bytes) {
        match field? {
            (1, v) => key = v.string()?,
            (2, v) => value = v.string()?,
            _ => {}
        }
    }
    Ok((key, value))
}

fn node(bytes: &[u8]) -> Result<Node<'_>> {
    let mut node = Node::default();
    for field in Fields(bytes) {
        match field? {
            (1, v) => node.inputs.push(v.string()?),
            (2, v) => node.outputs.push(v.string()?),
            (3, v) => node.name = v.string()?,
            (4, v) => node.op_type = v.string()?,
            (5, v) => {
                let (name, attribute) = attribute(v.bytes()?)?;
                node.attributes.insert(name, attribute);
            }
            (7, v) => node.domain = v.string()?,
            _ => {}
        }
    }
    Ok(node)
}

fn attribute(bytes: &[u8]) -> Result<(&str, Attribute<'_>)> {
    let mut name = "";
    let mut attribute = Attribute::default();
    for field in Fields(bytes) {
        match field? {
            (1, v) => name = v.string()?,
            (2, v) => attribute.float = Some(v.float()?),
            (3, v) => attribute.integer = Some(v.integer()?),
            // Some standard attributes are bytes that are no text; ours are text.
            (4, v) => attribute.string = v.string().ok(),
            (8, v) => v.integers(&mut attribute.integers)?,
            (9, v) => attribute.strings.push(v.string()?),
            _ => {}
        }
    }
    Ok((name, attribute))
}

fn tensor(bytes: &[u8]) -> Result<Tensor<'_>> {
    let mut tensor = Tensor { name: "", dims: vec![], data_type: 0, raw: &[] };
    let mut dims = vec![];
    for field in Fields(bytes) {
        match field? {
            (1, v) => v.integers(&mut dims)?,
            (2, v) => tensor.data_type = v.integer()?,
            (8, v) => tensor.name = v.string()?,
            (9, v) => tensor.raw = v.bytes()?,
            _ => {}
        }
    }
    let misfit = || refused(format!("tensor `{}`: its data does not fit its shape {dims:?}", tensor.name));
    let mut length: usize = match tensor.data_type {
        FLOAT => 4,
        FLOAT16 => 2,
        UINT8 | INT8 => 1,
        // Other types belong to foreign graphs, which tract reads by itself.
        _ => return Ok(tensor),
    };
    let mut shape = Vec::with_capacity(dims.len().min(8));
    for dim in &dims {
        let dim = usize::try_from(*dim).map_err(|_| misfit())?;
        length = length.checked_mul(dim).ok_or_else(misfit)?;
        shape.push(dim);
    }
    // Tensors without raw data (float_data, external data) occur in foreign files only.
    if !tensor.raw.is_empty() && tensor.raw.len() != length {
        return Err(misfit());
    }
    if tensor.raw.len() == length {
        tensor.dims = shape;
    }
    Ok(tensor)
}

fn value_info(bytes: &[u8]) -> Result<(&str, Vec<Option<usize>>)> {
    let mut name = "";
    let mut dims = vec![];
    for field in Fields(bytes) {
        match field? {
            (1, v) => name = v.string()?,
            (2, v) => dims = shape_of_type(v.bytes()?)?,
            _ => {}
        }
    }
    Ok((name, dims))
}

/// TypeProto.tensor_type (1) .shape (2) .dim (1) .dim_value (1)
fn shape_of_type(bytes: &[u8]) -> Result<Vec<Option<usize>>> {
    let mut dims = vec![];
    for tensor_type in Fields(bytes) {
        let (1, tensor_type) = tensor_type? else { continue };
        for shape in Fields(tensor_type.bytes()?) {
            let (2, shape) = shape? else { continue };
            for dim in Fields(shape.bytes()?) {
                let (1, dim) = dim? else { continue };
                let mut size = None;
                for field in Fields(dim.bytes()?) {
                    if let (1, v) = field? {
                        size = usize::try_from(v.integer()?).ok();
                    }
                }
                dims.push(size);
            }
        }
    }
    Ok(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rubbish_is_an_error_not_a_panic() {
        for bytes in [&b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"hello world", b"", b"\x3a\x05ab"] {
            assert_eq!(OnnxFile::parse(bytes).unwrap_err().kind(), ErrorKind::Model);
        }
    }

    #[test]
    fn a_tensor_whose_data_does_not_fit_is_refused_by_name() {
        // graph { initializer { dims: 3, data_type: 1, name: "w", raw_data: 4 bytes } }
        let tensor = b"\x08\x03\x10\x01\x42\x01w\x4a\x04abcd";
        let mut graph = vec![0x2a, tensor.len() as u8];
        graph.extend_from_slice(tensor);
        let mut file = vec![0x3a, graph.len() as u8];
        file.extend_from_slice(&graph);
        let error = OnnxFile::parse(&file).unwrap_err();
        assert!(error.message().contains("`w`"), "{error}");
    }

    #[test]
    fn int8_weights_are_bytes_around_128_or_signed_ones() {
        let tensor = |data_type, raw| Tensor { name: "w", dims: vec![4], data_type, raw };
        assert_eq!(tensor(UINT8, &[0, 127, 128, 255]).to_i8().unwrap(), [-128, -1, 0, 127]);
        assert_eq!(tensor(INT8, &[128, 255, 0, 127]).to_i8().unwrap(), [-128, -1, 0, 127]);
        assert!(tensor(FLOAT, &[0; 16]).to_i8().unwrap_err().message().contains("`w`"));
    }
}
