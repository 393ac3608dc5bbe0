//! The graph: PatchEmbed, the blocks, FinalNorm and Probes, one node each.

use rad_dino_edge::Result;
use rad_dino_edge::checkpoint::{Config, EncoderWeights, Probes};
use rad_dino_edge::model::manifest::Precision;
use tract_onnx::pb::{
    AttributeProto, FunctionProto, GraphProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

use super::{DOMAIN, attribute, embedding, encoder, linear, probes, tensor};
use crate::fold::{FoldedBlock, Layer};
use crate::rounded::Rounded;

/// A model file under construction.
pub(crate) struct Builder {
    precision: Precision,
    config: Config,
    nodes: Vec<NodeProto>,
    outputs: Vec<ValueInfoProto>,
    image_size: usize,
    /// Tensors in the order of their use.
    pub(super) tensors: Vec<TensorProto>,
    /// The functions that the nodes call.
    pub(super) functions: Vec<FunctionProto>,
    last: String,
}

impl Builder {
    /// A graph for `image_size` (S) pixels a side, without nodes yet.
    pub fn new(config: &Config, precision: Precision, image_size: usize) -> Self {
        Builder {
            precision,
            config: config.clone(),
            nodes: Vec::new(),
            outputs: Vec::new(),
            image_size,
            tensors: Vec::new(),
            functions: Vec::new(),
            last: "pixel_values".to_owned(),
        }
    }

    /// pixel_values → tokens. `positions` is the resampled table [1 + P, D]; its first row joins the CLS token.
    pub fn patch_embed(&mut self, weights: &EncoderWeights, positions: &[f32]) -> Result<()> {
        let (d, p, r) = (self.config.hidden_size, self.config.patch_size, self.config.num_register_tokens);
        let (cls_position, patch_positions) = positions.split_at(d.min(positions.len()));
        let mut prefix: Vec<f32> = weights.cls_token.iter().zip(cls_position).map(|(a, b)| a + b).collect();
        prefix.extend(&weights.register_tokens);
        let dims = [d, 3, p, p];
        let weight = match self.precision {
            Precision::Fp32 => tensor::f32s("patch_embed.weight", &dims, &weights.patch_weight),
            Precision::Fp16 | Precision::Int8 => linear::half("patch_embed.weight", &dims, &weights.patch_weight)?,
        };
        let tensors = vec![
            weight,
            tensor::f32s("patch_embed.bias", &[d], &weights.patch_bias),
            tensor::f32s("patch_embed.prefix", &[1, 1 + r, d], &prefix),
            tensor::f32s("patch_embed.positions", &[1, patch_positions.len() / d, d], patch_positions),
        ];
        self.functions.push(embedding::patch_embed(self.precision, p));
        self.call("PatchEmbed", "patch_embed", tensors, vec![attribute::integer("patch_size", p as i64)], &["tokens"]);
        Ok(())
    }

    /// The next block, its layers in the formats of `rounded`.
    pub fn block(&mut self, i: usize, block: &FoldedBlock, rounded: &[Rounded; 4]) -> Result<()> {
        let name = format!("block{i}");
        let heads = self.config.num_attention_heads;
        let swiglu = self.config.use_swiglu_ffn;
        let layers = rounded.each_ref().map(Rounded::precision);
        let kind = encoder::Kind { precision: self.precision, layers, levelled: block.levelling.is_some(), swiglu };
        let norm = |part: &str, values: &[Vec<f32>; 2]| {
            let [weight, bias] = values;
            [
                tensor::f32s(&format!("{name}.{part}_weight"), &[weight.len()], weight),
                tensor::f32s(&format!("{name}.{part}_bias"), &[bias.len()], bias),
            ]
        };
        let mut tensors = norm("norm1", &block.norm1).to_vec();
        for (layer, rounded) in Layer::ALL.into_iter().zip(rounded) {
            if layer == Layer::Fc1 {
                tensors.extend(norm("norm2", &block.norm2));
            }
            if let Some(levelling) = block.levelling.as_ref().filter(|_| layer == Layer::Fc2) {
                for (part, values) in [("mean", &levelling.mean), ("factor", &levelling.factor)] {
                    tensors.push(tensor::f32s(&format!("{name}.fc2_{part}"), &[values.len()], values));
                }
            }
            tensors.extend(linear::tensors(block.linear(layer), rounded, &name, layer.as_str())?);
        }
        if self.functions.iter().all(|f| f.name() != kind.name()) {
            self.functions.push(encoder::encoder_block(kind));
        }
        let attributes = vec![
            attribute::integer("num_heads", heads as i64),
            self.epsilon(),
            attribute::string("activation", if swiglu { "swiglu" } else { "gelu" }),
        ];
        self.call(&kind.name(), &name, tensors, attributes, &[&format!("{name}.y")]);
        Ok(())
    }

    /// The final LayerNorm: the output `last_hidden_state` [N, T, D].
    pub fn final_norm(&mut self, weight: &[f32], bias: &[f32]) {
        let d = self.config.hidden_size;
        let tensors = vec![tensor::f32s("norm.weight", &[d], weight), tensor::f32s("norm.bias", &[d], bias)];
        self.functions.push(embedding::final_norm());
        let attributes = vec![self.epsilon()];
        self.call("FinalNorm", "norm", tensors, attributes, &["last_hidden_state"]);
        let grid = self.image_size / self.config.patch_size;
        let tokens = 1 + self.config.num_register_tokens + grid * grid;
        self.outputs.push(value("last_hidden_state", &[tokens, d]));
    }

    /// The heads: one output each.
    pub fn probes(&mut self, probes: &Probes) {
        let grid = self.image_size / self.config.patch_size;
        let outputs = probes::outputs(probes, grid);
        if outputs.is_empty() {
            return;
        }
        self.outputs.extend(outputs.iter().map(|(name, shape)| value(name, shape)));
        self.functions.push(probes::function(probes, grid));
        let names: Vec<&str> = outputs.iter().map(|(name, _)| *name).collect();
        let tensors = probes::tensors(probes, self.config.hidden_size);
        let attributes = probes::attributes(probes, 1 + self.config.num_register_tokens);
        self.call("Probes", "probes", tensors, attributes, &names);
    }

    /// Names of the graph's outputs.
    pub fn output_names(&self) -> Vec<String> {
        self.outputs.iter().map(|output| output.name.clone()).collect()
    }

    /// The graph without its tensors.
    pub(super) fn graph(&self) -> GraphProto {
        GraphProto {
            name: "rad_dino".to_owned(),
            node: self.nodes.clone(),
            input: vec![value("pixel_values", &[3, self.image_size, self.image_size])],
            output: self.outputs.clone(),
            ..GraphProto::default()
        }
    }

    fn epsilon(&self) -> AttributeProto {
        attribute::float("epsilon", self.config.layer_norm_eps as f32)
    }

    /// One node: `outputs` = function(the last value, `tensors`).
    fn call(
        &mut self,
        function: &str,
        name: &str,
        tensors: Vec<TensorProto>,
        attributes: Vec<AttributeProto>,
        outputs: &[&str],
    ) {
        let mut input = vec![self.last.clone()];
        input.extend(tensors.iter().map(|tensor| tensor.name.clone()));
        self.last = outputs.first().map(|output| (*output).to_owned()).unwrap_or_default();
        self.nodes.push(NodeProto {
            name: name.to_owned(),
            op_type: function.to_owned(),
            domain: DOMAIN.to_owned(),
            input,
            output: outputs.iter().map(|output| (*output).to_owned()).collect(),
            attribute: attributes,
            ..NodeProto::default()
        });
        self.tensors.extend(tensors);
    }
}

/// An f32 value of shape [N, `dims`].
fn value(name: &str, dims: &[usize]) -> ValueInfoProto {
    let mut all = vec![Side::Named("N")];
    all.extend(dims.iter().map(|side| Side::Fixed(*side)));
    typed_value(name, DataType::Float, &all)
}

/// One dimension of a graph's input or output.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Named(&'static str),
    Fixed(usize),
}

/// An input or output of the graph.
pub(super) fn typed_value(name: &str, data_type: DataType, sides: &[Side]) -> ValueInfoProto {
    let dimension = |side: &Side| {
        let value = match side {
            Side::Named(name) => dimension::Value::DimParam((*name).to_owned()),
            Side::Fixed(side) => dimension::Value::DimValue(*side as i64),
        };
        Dimension { value: Some(value), ..Dimension::default() }
    };
    let shape = Some(TensorShapeProto { dim: sides.iter().map(dimension).collect() });
    let tensor = type_proto::Tensor { elem_type: data_type as i32, shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..ValueInfoProto::default() }
}
