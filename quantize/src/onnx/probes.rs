//! Probes: linear heads (optionally with a ReLU layer beside) on CLS ‖ mean of the patch tokens, and the segmentation.

use rad_dino_edge::checkpoint::{ProbeHead, Probes};
use rad_dino_edge::model::manifest::Heads;
use tract_onnx::pb::{AttributeProto, FunctionProto, TensorProto};

use super::function::Function;
use super::{attribute, segmentation, tensor};
use crate::fold::Linear;

/// The heads that are there, in the order of the graph's outputs, without the segmentation.
fn heads(probes: &Probes) -> impl Iterator<Item = (&'static str, &ProbeHead)> {
    Heads::NAMES.into_iter().filter_map(|name| probes.heads.get(name).map(|head| (name, head)))
}

/// Name and shape (without the batch) of each output of the graph; empty when there are no heads. `grid` is g.
pub(super) fn outputs(probes: &Probes, grid: usize) -> Vec<(&'static str, Vec<usize>)> {
    let mut outputs: Vec<_> =
        heads(probes).map(|(name, head)| (Heads::output_name(name), vec![head.outputs])).collect();
    if let Some(head) = &probes.segmentation {
        let side = head.scale * grid;
        outputs.push((Heads::output_name("segmentation"), vec![head.channels, side, side]));
    }
    outputs
}

/// The attributes of the call.
pub(super) fn attributes(probes: &Probes, prefix_tokens: usize) -> Vec<AttributeProto> {
    let segmentation = probes.segmentation.iter();
    let names: Vec<&str> =
        heads(probes).map(|(name, _)| name).chain(segmentation.clone().map(|_| "segmentation")).collect();
    let hidden: Vec<i64> =
        heads(probes).map(|(_, head)| head.hidden as i64).chain(segmentation.map(|s| s.hidden as i64)).collect();
    let mut attributes = vec![
        attribute::strings("heads", &names),
        attribute::integers("hidden", &hidden),
        attribute::integer("prefix_tokens", prefix_tokens as i64),
    ];
    if let Some(head) = &probes.segmentation {
        let sizes = [head.channels, head.scale, head.convolutions.len()].map(|n| n as i64);
        attributes.push(attribute::integers("segmentation", &sizes));
    }
    attributes
}

/// last_hidden_state [N,T,D] → one [N,K] per head, and [N,C,s·g,s·g] for the segmentation.
pub(super) fn function(probes: &Probes, grid: usize) -> FunctionProto {
    let attributes: Vec<String> = attributes(probes, 0).into_iter().map(|a| a.name).collect();
    let attributes: Vec<&str> = attributes.iter().map(String::as_str).collect();
    let mut f = Function::new("Probes", &attributes, &["last_hidden_state"]);
    f.integers("first", &[0]);
    f.integers("one", &[1]);
    f.op("Slice", &["last_hidden_state", "first", "one", "one"], "cls_row");
    f.op("Squeeze", &["cls_row", "one"], "cls");
    f.attribute_as_list("prefix", "prefix_tokens");
    f.integers("end", &[i64::MAX]);
    f.op("Slice", &["last_hidden_state", "prefix", "end", "one"], "patches");
    let mean = vec![attribute::integers("axes", &[1]), attribute::integer("keepdims", 0)];
    f.node("ReduceMean", &["patches"], &["patch_mean"], mean);
    f.concat(&["cls", "patch_mean"], -1, "features");
    for (name, head) in heads(probes) {
        let value = |part: &str| format!("{name}_{part}");
        f.input(&value("weight"));
        f.input(&value("bias"));
        let mut input = "features".to_owned();
        if head.hidden > 0 {
            f.input(&value("hidden_weight"));
            f.input(&value("hidden_bias"));
            f.op("MatMul", &["features", &value("hidden_weight")], &value("hidden_product"));
            f.op("Add", &[&value("hidden_product"), &value("hidden_bias")], &value("hidden_sum"));
            f.op("Relu", &[&value("hidden_sum")], &value("hidden"));
            input = value("input");
            f.concat(&["features", &value("hidden")], -1, &input);
        }
        f.op("MatMul", &[&input, &value("weight")], &value("product"));
        f.op("Add", &[&value("product"), &value("bias")], Heads::output_name(name));
    }
    if let Some(head) = &probes.segmentation {
        segmentation::body(&mut f, head, grid);
    }
    let outputs: Vec<&str> = outputs(probes, grid).into_iter().map(|(name, _)| name).collect();
    f.finish(&outputs)
}

/// The tensors of the call, in the order of the function's inputs after the first. `dim` is D.
pub(super) fn tensors(probes: &Probes, dim: usize) -> Vec<TensorProto> {
    let mut tensors = Vec::new();
    for (name, head) in heads(probes) {
        let mut push = |part: &str, weight: &[f32], bias: &[f32]| {
            let linear = Linear::from_rows(weight, bias, |_| 1.0);
            let dims = [linear.inputs, linear.outputs];
            tensors.push(tensor::f32s(&format!("probes.{name}_{part}weight"), &dims, &linear.weight));
            tensors.push(tensor::f32s(&format!("probes.{name}_{part}bias"), &dims[1..], &linear.bias));
        };
        push("", &head.weight, &head.bias);
        if head.hidden > 0 {
            push("hidden_", &head.hidden_weight, &head.hidden_bias);
        }
    }
    tensors.extend(probes.segmentation.iter().flat_map(|head| segmentation::tensors(head, dim)));
    tensors
}
