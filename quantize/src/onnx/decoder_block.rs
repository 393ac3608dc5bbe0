//! DecoderBlock: x += Attention(RMSNorm(x)); x += down(silu(gate)·up)(RMSNorm(x)), with cached keys and values.

use rad_dino_edge::checkpoint::LlamaConfig;
use rad_dino_edge::model::manifest::Precision;
use tract_onnx::pb::FunctionProto;

use super::function::Function;
use super::{attribute, linear};

/// Name of the block's function.
pub(super) fn function_name(precision: Precision) -> &'static str {
    match precision {
        Precision::Int8 => "DecoderBlockInt8",
        _ => "DecoderBlock",
    }
}

/// x [N,T,D], past keys and values [N,KV,P,hd], cos and sin [T,hd/2], mask [T,P+T] → y [N,T,D], present keys and values
/// [N,KV,P+T,hd].
pub(super) fn decoder_block(config: &LlamaConfig, precision: Precision) -> FunctionProto {
    let inputs = ["x", "past_key", "past_value", "cos", "sin", "mask", "norm1_weight"];
    let mut f = Function::new(function_name(precision), &[], &inputs);
    linear::declare(&mut f, precision, "qkv");
    linear::declare(&mut f, precision, "output");
    f.input("norm2_weight");
    linear::declare(&mut f, precision, "gate_up");
    linear::declare(&mut f, precision, "down");
    linear::constants(&mut f, &[precision]);
    f.scalar("epsilon", config.rms_norm_eps as f32);

    rms_norm(&mut f, "x", "norm1_weight", "norm1");
    linear::body(&mut f, precision, "norm1", "qkv", "qkv");
    attention(&mut f, config);
    linear::body(&mut f, precision, "context", "output", "attention");
    f.op("Add", &["x", "attention"], "residual");

    rms_norm(&mut f, "residual", "norm2_weight", "norm2");
    linear::body(&mut f, precision, "norm2", "gate_up", "gate_up");
    f.split("gate_up", &["gate", "up"]);
    f.op("Sigmoid", &["gate"], "gate_sigmoid");
    f.op("Mul", &["gate", "gate_sigmoid"], "gate_silu");
    f.op("Mul", &["gate_silu", "up"], "hidden");
    linear::body(&mut f, precision, "hidden", "down", "feed_forward");
    f.op("Add", &["residual", "feed_forward"], "y");
    f.finish(&["y", "present_key", "present_value"])
}

/// `output` = x/√(mean x² + epsilon)·weight; the function has the scalar `epsilon`.
pub(super) fn rms_norm(f: &mut Function, x: &str, weight: &str, output: &str) {
    let name = |part: &str| format!("{output}_{part}");
    f.op("Mul", &[x, x], &name("squares"));
    let mean = vec![attribute::integers("axes", &[-1]), attribute::integer("keepdims", 1)];
    f.node("ReduceMean", &[&name("squares")], &[&name("mean")], mean);
    f.op("Add", &[&name("mean"), "epsilon"], &name("shifted"));
    f.op("Sqrt", &[&name("shifted")], &name("root"));
    f.op("Div", &[x, &name("root")], &name("plain"));
    f.op("Mul", &[&name("plain"), weight], output);
}

/// qkv [N,T,(H+2KV)·hd] → context [N,T,H·hd]; the query heads of one key head go together.
fn attention(f: &mut Function, config: &LlamaConfig) {
    let [heads, kv, hd] = [config.num_attention_heads, config.num_key_value_heads, config.head_dim].map(|n| n as i64);
    f.integers("qkv_sizes", &[heads * hd, kv * hd, kv * hd]);
    let axis = vec![attribute::integer("axis", -1)];
    f.node("Split", &["qkv", "qkv_sizes"], &["q_rows", "k_rows", "v_rows"], axis);
    f.integers("q_shape", &[0, 0, kv, heads / kv, hd]);
    f.integers("kv_shape", &[0, 0, kv, hd]);
    f.integers("group_axis", &[2]);
    f.op("Reshape", &["q_rows", "q_shape"], "q_split");
    f.transpose("q_split", &[0, 2, 3, 1, 4], "q_still");
    rotate(f, "q_still", "q");
    f.op("Reshape", &["k_rows", "kv_shape"], "k_split");
    f.transpose("k_split", &[0, 2, 1, 3], "k_still");
    rotate(f, "k_still", "k");
    f.op("Reshape", &["v_rows", "kv_shape"], "v_split");
    f.transpose("v_split", &[0, 2, 1, 3], "v");
    f.concat(&["past_key", "k"], 2, "present_key");
    f.concat(&["past_value", "v"], 2, "present_value");
    f.transpose("present_key", &[0, 1, 3, 2], "k_columns");
    f.op("Unsqueeze", &["k_columns", "group_axis"], "k_shared");
    f.op("Unsqueeze", &["present_value", "group_axis"], "v_shared");
    f.op("MatMul", &["q", "k_shared"], "scores");
    f.op("Add", &["scores", "mask"], "masked");
    f.node("Softmax", &["masked"], &["weights"], vec![attribute::integer("axis", -1)]);
    f.op("MatMul", &["weights", "v_shared"], "context_by_head");
    f.transpose("context_by_head", &[0, 3, 1, 2, 4], "context_split");
    f.integers("joined", &[0, 0, heads * hd]);
    f.op("Reshape", &["context_split", "joined"], "context");
}

/// The pairs (i, i + hd/2) of `x` [..,T,hd] turned by `cos` and `sin`.
fn rotate(f: &mut Function, x: &str, output: &str) {
    let name = |part: &str| format!("{output}_{part}");
    f.split(x, &[&name("first"), &name("second")]);
    for (part, a, b, sign) in [("low", "first", "second", "Sub"), ("high", "second", "first", "Add")] {
        let (a_cos, b_sin) = (name(&format!("{a}_cos")), name(&format!("{b}_sin")));
        f.op("Mul", &[&name(a), "cos"], &a_cos);
        f.op("Mul", &[&name(b), "sin"], &b_sin);
        f.op(sign, &[&a_cos, &b_sin], &name(part));
    }
    f.concat(&[&name("low"), &name("high")], -1, output);
}
