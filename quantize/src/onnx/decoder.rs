//! The decoder's graph: DecoderEmbed, the blocks, DecoderHead, one node each.

use std::path::Path;

use rad_dino_edge::Result;
use rad_dino_edge::checkpoint::{Llama, LlamaBlock, LlamaConfig, ReportConfig};
use rad_dino_edge::model::manifest::Precision;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{FunctionProto, GraphProto, NodeProto, TensorProto};

use super::builder::{Side, typed_value};
use super::function::Function;
use super::write::write_parts;
use super::{DOMAIN, attribute, decoder_block, encoder, linear, tensor};
use crate::fold::Linear;
use crate::int8;
use crate::rounded::Rounded;

/// Writes the decoder's file; gives its size in bytes and its sha256 (hex).
pub(crate) fn write_decoder(
    path: &Path,
    llama: &Llama,
    precision: Precision,
    metadata: &[(&str, &str)],
) -> Result<(u64, String)> {
    let config = &llama.config;
    let report = llama.projector.as_ref().map(|(report, _)| report);
    let (v, d, layers) = (config.vocab_size, config.hidden_size, config.num_hidden_layers);
    let mut parts = Parts { nodes: vec![], tensors: vec![] };
    let past = |i: usize, what: &str| format!("past_key_values.{i}.{what}");
    let present = |i: usize, what: &str| format!("present.{i}.{what}");

    let mut tensors =
        vec![tensor::f32s("frequencies", &[config.head_dim / 2], &config.rope.frequencies(config.head_dim))];
    tensors.extend(table(&llama.weights.embedding, precision, "embed", v, d));
    let mut inputs = vec!["input_ids".to_owned(), past(0, "key")];
    inputs.extend(tensors.iter().map(|t| t.name.clone()));
    if let Some((report, projector)) = &llama.projector {
        inputs.push("image_tokens".to_owned());
        let fc1 = Linear::from_rows(&projector.fc1_weight, &projector.fc1_bias, |_| 1.0);
        let fc2 = Linear::from_rows(&projector.fc2_weight, &projector.fc2_bias, |_| 1.0);
        debug_assert_eq!(fc1.inputs, report.encoder_width);
        for (part, layer) in [("fc1", fc1), ("fc2", fc2)] {
            let own = tensors_in(&layer, precision, "projector", part)?;
            inputs.extend(own.iter().map(|t| t.name.clone()));
            tensors.extend(own);
        }
    }
    parts.call("DecoderEmbed", "embed", inputs, &["hidden.0", "cos", "sin", "mask"], tensors);

    for (i, block) in llama.weights.blocks.iter().enumerate() {
        let tensors = block_tensors(config, block, precision, &format!("layers.{i}"))?;
        let mut inputs = vec![format!("hidden.{i}"), past(i, "key"), past(i, "value")];
        inputs.extend(["cos", "sin", "mask"].map(str::to_owned));
        inputs.extend(tensors.iter().map(|t| t.name.clone()));
        let outputs = [format!("hidden.{}", i + 1), present(i, "key"), present(i, "value")];
        let outputs = [&outputs[0][..], &outputs[1], &outputs[2]];
        parts.call(decoder_block::function_name(precision), &format!("layers.{i}"), inputs, &outputs, tensors);
    }

    let mut tensors = vec![tensor::f32s("norm.weight", &[d], &llama.weights.norm)];
    let mut inputs = vec![format!("hidden.{layers}"), "norm.weight".to_owned()];
    match &llama.weights.head {
        Some(head) => {
            let own = table(head, precision, "head", v, d);
            inputs.extend(own.iter().map(|t| t.name.clone()));
            tensors.extend(own);
        }
        None => {
            inputs.push("embed.weight".to_owned());
            inputs.extend((precision == Precision::Int8).then(|| "embed.scale".to_owned()));
        }
    }
    parts.call("DecoderHead", "head", inputs, &["logits"], tensors);

    let functions = [
        embed_function(precision, report),
        decoder_block::decoder_block(config, precision),
        head_function(config, precision),
    ];
    write_parts(path, &functions, &parts.graph(config, report), &parts.tensors, metadata)
}

struct Parts {
    nodes: Vec<NodeProto>,
    tensors: Vec<TensorProto>,
}

impl Parts {
    fn call(&mut self, function: &str, name: &str, input: Vec<String>, outputs: &[&str], tensors: Vec<TensorProto>) {
        self.nodes.push(NodeProto {
            name: name.to_owned(),
            op_type: function.to_owned(),
            domain: DOMAIN.to_owned(),
            input,
            output: outputs.iter().map(|name| (*name).to_owned()).collect(),
            ..NodeProto::default()
        });
        self.tensors.extend(tensors);
    }

    fn graph(&self, config: &LlamaConfig, report: Option<&ReportConfig>) -> GraphProto {
        use Side::{Fixed, Named};
        let cache = |length| [Named("N"), Fixed(config.num_key_value_heads), Named(length), Fixed(config.head_dim)];
        let mut input = vec![typed_value("input_ids", DataType::Int64, &[Named("N"), Named("T")])];
        let image = report.map(|r| [Named("N"), Named("I"), Fixed(r.encoder_width)]);
        input.extend(image.map(|sides| typed_value("image_tokens", DataType::Float, &sides)));
        let sides = [Named("N"), Named("L"), Fixed(config.vocab_size)];
        let mut output = vec![typed_value("logits", DataType::Float, &sides)];
        for i in 0..config.num_hidden_layers {
            for what in ["key", "value"] {
                let name = format!("past_key_values.{i}.{what}");
                input.push(typed_value(&name, DataType::Float, &cache("P")));
                output.push(typed_value(&format!("present.{i}.{what}"), DataType::Float, &cache("S")));
            }
        }
        let (name, node) = ("rad_dino_decoder".to_owned(), self.nodes.clone());
        GraphProto { name, node, input, output, ..GraphProto::default() }
    }
}

/// [V, D]: f32, or int8 (bytes around 128) with one scale a row.
fn table(values: &[f32], precision: Precision, name: &str, v: usize, d: usize) -> Vec<TensorProto> {
    let weight = format!("{name}.weight");
    if precision != Precision::Int8 {
        return vec![tensor::f32s(&weight, &[v, d], values)];
    }
    // rows of the table are columns of the output layer
    let linear = Linear::from_rows(values, &vec![0.0; v], |_| 1.0);
    let rounded = int8::quantize(&linear);
    let mut rows = vec![0; v * d];
    for (k, column) in rounded.values.chunks_exact(v.max(1)).enumerate() {
        column.iter().enumerate().for_each(|(n, value)| rows[n * d + k] = *value);
    }
    vec![tensor::around_128(&weight, &[v, d], &rows), tensor::f32s(&format!("{name}.scale"), &[v], &rounded.scale)]
}

/// Weight [out, in] and bias, empty where there is none.
type Layer = (Vec<f32>, Vec<f32>);

/// In the order of the block's inputs after the mask; 1/√hd is in the weights of q.
fn block_tensors(
    config: &LlamaConfig,
    block: &LlamaBlock,
    precision: Precision,
    name: &str,
) -> Result<Vec<TensorProto>> {
    let joined = |parts: &[(&Layer, usize)], scale: &dyn Fn(usize) -> f32| {
        let weight: Vec<f32> = parts.iter().flat_map(|(part, _)| part.0.iter().copied()).collect();
        let bias: Vec<f32> = parts
            .iter()
            .flat_map(|(part, rows)| if part.1.is_empty() { vec![0.0; *rows] } else { part.1.clone() })
            .collect();
        Linear::from_rows(&weight, &bias, scale)
    };
    let (d, f, hd) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (q, kv) = (config.num_attention_heads * hd, config.num_key_value_heads * hd);
    let query_scale = 1.0 / (hd as f32).sqrt();
    let qkv =
        joined(&[(&block.query, q), (&block.key, kv), (&block.value, kv)], &|j| if j < q { query_scale } else { 1.0 });
    let mut tensors = vec![tensor::f32s(&format!("{name}.norm1_weight"), &[d], &block.norm1)];
    tensors.extend(tensors_in(&qkv, precision, name, "qkv")?);
    tensors.extend(tensors_in(&joined(&[(&block.output, d)], &|_| 1.0), precision, name, "output")?);
    tensors.push(tensor::f32s(&format!("{name}.norm2_weight"), &[d], &block.norm2));
    let gate_up = joined(&[(&block.gate, f), (&block.up, f)], &|_| 1.0);
    tensors.extend(tensors_in(&gate_up, precision, name, "gate_up")?);
    tensors.extend(tensors_in(&joined(&[(&block.down, d)], &|_| 1.0), precision, name, "down")?);
    Ok(tensors)
}

/// [`linear::tensors`] with all weights in one format.
fn tensors_in(linear: &Linear, precision: Precision, prefix: &str, part: &str) -> Result<Vec<TensorProto>> {
    linear::tensors(linear, &Rounded::plain(linear, precision), prefix, part)
}

/// input_ids [N,T] (after the image's I tokens) → hidden [N,L,D], cos and sin [L,hd/2], mask [L,P+L], L = I + T.
fn embed_function(precision: Precision, report: Option<&ReportConfig>) -> FunctionProto {
    let mut f = Function::new("DecoderEmbed", &[], &["input_ids", "past_key", "frequencies", "weight"]);
    let int8 = precision == Precision::Int8;
    if int8 {
        f.input("scale");
    }
    linear::constants(&mut f, &[precision]);
    f.op("Gather", &["weight", "input_ids"], "rows");
    let mut text = "rows";
    if int8 {
        f.cast("rows", DataType::Float, "bytes");
        f.op("Sub", &["bytes", linear::OFFSET], "steps");
        f.op("Gather", &["scale", "input_ids"], "row_scales");
        f.integers("last_axis", &[-1]);
        f.op("Unsqueeze", &["row_scales", "last_axis"], "column_scales");
        f.op("Mul", &["steps", "column_scales"], "text");
        text = "text";
    }
    if report.is_some() {
        f.input("image_tokens");
        linear::declare(&mut f, precision, "fc1");
        linear::declare(&mut f, precision, "fc2");
        linear::body(&mut f, precision, "image_tokens", "fc1", "fc1");
        encoder::gelu(&mut f, "fc1", "fc1_gelu");
        linear::body(&mut f, precision, "fc1_gelu", "fc2", "image");
        f.concat(&["image", text], 1, "hidden");
    } else {
        f.op("Identity", &[text], "hidden");
    }
    let shape = |f: &mut Function, of: &str, axis: i64, output: &str| {
        let part = vec![attribute::integer("start", axis), attribute::integer("end", axis + 1)];
        let list = format!("{output}_list");
        f.node("Shape", &[of], &[&list], part);
        f.op("Squeeze", &[&list], output);
    };
    shape(&mut f, "hidden", 1, "length");
    shape(&mut f, "past_key", 2, "past");
    f.op("Add", &["past", "length"], "end");
    f.constant("step", tensor::i64_scalar(1));
    f.constant("start", tensor::i64_scalar(0));
    f.op("Range", &["past", "end", "step"], "positions");
    f.op("Range", &["start", "end", "step"], "seen");
    f.integers("columns", &[1]);
    f.op("Unsqueeze", &["positions", "columns"], "position_rows");
    f.cast("position_rows", DataType::Float, "position_numbers");
    f.op("Mul", &["position_numbers", "frequencies"], "angles");
    f.op("Cos", &["angles"], "cos");
    f.op("Sin", &["angles"], "sin");
    f.op("LessOrEqual", &["seen", "position_rows"], "visible");
    f.scalar("open", 0.0);
    f.scalar("closed", f32::MIN);
    f.op("Where", &["visible", "open", "closed"], "mask");
    f.finish(&["hidden", "cos", "sin", "mask"])
}

/// hidden [N,L,D] → logits [N,L,V]; the weight is [V,D].
fn head_function(config: &LlamaConfig, precision: Precision) -> FunctionProto {
    let mut f = Function::new("DecoderHead", &[], &["hidden", "norm_weight", "rows"]);
    f.scalar("epsilon", config.rms_norm_eps as f32);
    decoder_block::rms_norm(&mut f, "hidden", "norm_weight", "normed");
    f.transpose("rows", &[1, 0], "head_weight");
    if precision == Precision::Int8 {
        f.input("head_scale");
        linear::constants(&mut f, &[precision]);
    }
    f.scalar("head_bias", 0.0);
    linear::body(&mut f, precision, "normed", "head", "logits");
    f.finish(&["logits"])
}
