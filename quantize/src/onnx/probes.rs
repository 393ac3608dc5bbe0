//! Probes: linear heads (optionally with a ReLU layer beside) on CLS ‖ mean of the patch tokens.

use rad_dino_edge::checkpoint::{ProbeHead, Probes};
use tract_onnx::pb::{FunctionProto, TensorProto};

use super::function::Function;
use super::{attribute, tensor};
use crate::fold::Linear;

/// The graph's output of a head.
pub(super) fn output_name(head: &str) -> String {
    match head {
        "age" => "age_years".to_owned(),
        _ => format!("{head}_logits"),
    }
}

/// The heads that are there, in the order of the graph's outputs.
pub(super) fn heads(probes: &Probes) -> Vec<(&'static str, &ProbeHead)> {
    Probes::HEADS.into_iter().filter_map(|name| probes.heads.get(name).map(|head| (name, head))).collect()
}

/// last_hidden_state [N,T,D] → one [N,K] per head.
pub(super) fn function(heads: &[(&'static str, &ProbeHead)]) -> FunctionProto {
    let mut f = Function::new("Probes", &["heads", "hidden", "prefix_tokens"], &["last_hidden_state"]);
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
    for (name, head) in heads {
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
        f.op("Add", &[&value("product"), &value("bias")], &output_name(name));
    }
    let outputs: Vec<String> = heads.iter().map(|(name, _)| output_name(name)).collect();
    f.finish(&outputs.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The tensors of the call, in the order of the function's inputs after the first.
pub(super) fn tensors(heads: &[(&'static str, &ProbeHead)]) -> Vec<TensorProto> {
    let mut tensors = Vec::new();
    for (name, head) in heads {
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
    tensors
}
