//! The body of a model-local function, node by node; every value has a name, as in the formula it comes from.

use tract_onnx::pb::{AttributeProto, FunctionProto, NodeProto, OperatorSetIdProto, TensorProto};

use super::{DOMAIN, OPSET, attribute, tensor};

/// A function under construction.
pub(super) struct Function {
    name: String,
    inputs: Vec<String>,
    attributes: Vec<String>,
    nodes: Vec<NodeProto>,
}

impl Function {
    /// A function with the names of its attributes and first inputs.
    pub fn new(name: &str, attributes: &[&str], inputs: &[&str]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Function { name: name.to_owned(), inputs: owned(inputs), attributes: owned(attributes), nodes: Vec::new() }
    }

    /// One more input.
    pub fn input(&mut self, name: &str) {
        self.inputs.push(name.to_owned());
    }

    /// `outputs` = operator(`inputs`).
    pub fn node(&mut self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: Vec<AttributeProto>) {
        self.nodes.push(NodeProto {
            op_type: operator.to_owned(),
            input: inputs.iter().map(|name| (*name).to_owned()).collect(),
            output: outputs.iter().map(|name| (*name).to_owned()).collect(),
            name: outputs.first().map(|name| (*name).to_owned()).unwrap_or_default(),
            attribute: attributes,
            ..NodeProto::default()
        });
    }

    /// `output` = operator(`inputs`), without attributes.
    pub fn op(&mut self, operator: &str, inputs: &[&str], output: &str) {
        self.node(operator, inputs, &[output], Vec::new());
    }

    /// A constant f32 scalar.
    pub fn scalar(&mut self, output: &str, value: f32) {
        self.constant(output, tensor::f32_scalar(value));
    }

    /// A constant list of i64.
    pub fn integers(&mut self, output: &str, values: &[i64]) {
        self.constant(output, tensor::i64s(values));
    }

    /// A constant tensor.
    pub fn constant(&mut self, output: &str, value: TensorProto) {
        self.node("Constant", &[], &[output], vec![attribute::tensor("value", value)]);
    }

    /// The calling node's integer attribute as a list of one i64.
    pub fn attribute_as_list(&mut self, output: &str, name: &str) {
        let scalar = format!("{output}_scalar");
        let axes = format!("{output}_axes");
        self.node("Constant", &[], &[&scalar], vec![attribute::integer_of("value_int", name)]);
        self.integers(&axes, &[0]);
        self.op("Unsqueeze", &[&scalar, &axes], output);
    }

    /// LayerNorm over the last axis with the calling node's `epsilon`.
    pub fn layer_norm(&mut self, x: &str, weight: &str, bias: &str, output: &str) {
        let attributes = vec![attribute::integer("axis", -1), attribute::float_of("epsilon", "epsilon")];
        self.node("LayerNormalization", &[x, weight, bias], &[output], attributes);
    }

    /// Cast to an ONNX element type.
    pub fn cast(&mut self, x: &str, to: tract_onnx::pb::tensor_proto::DataType, output: &str) {
        self.node("Cast", &[x], &[output], vec![attribute::integer("to", to as i64)]);
    }

    /// Transposes.
    pub fn transpose(&mut self, x: &str, perm: &[i64], output: &str) {
        self.node("Transpose", &[x], &[output], vec![attribute::integers("perm", perm)]);
    }

    /// Joins along the last axis (`axis` −1) or another.
    pub fn concat(&mut self, inputs: &[&str], axis: i64, output: &str) {
        self.node("Concat", inputs, &[output], vec![attribute::integer("axis", axis)]);
    }

    /// Equal parts along the last axis.
    pub fn split(&mut self, x: &str, outputs: &[&str]) {
        self.node("Split", &[x], outputs, vec![attribute::integer("axis", -1)]);
    }

    /// The finished function.
    pub fn finish(self, outputs: &[&str]) -> FunctionProto {
        FunctionProto {
            name: Some(self.name),
            domain: Some(DOMAIN.to_owned()),
            input: self.inputs,
            output: outputs.iter().map(|name| (*name).to_owned()).collect(),
            attribute: self.attributes,
            node: self.nodes,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            doc_string: None,
        }
    }
}
