//! EncoderBlock: x += Attention(LayerNorm(x)); x += FeedForward(LayerNorm(x)), LayerScale and 1/√d in the weights.

use rad_dino_edge::model::manifest::Precision;
use tract_onnx::pb::FunctionProto;

use super::function::Function;
use super::linear;
use crate::fold::Layer;

/// What a block's function does: blocks of the same kind call the same function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Of the file.
    pub precision: Precision,
    /// Of each layer's weights.
    pub layers: [Precision; 4],
    /// Whether fc2's input is levelled.
    pub levelled: bool,
    /// SwiGLU instead of GELU.
    pub swiglu: bool,
}

impl Kind {
    /// The function's name. An int8 block that differs from the plain one says so behind a `_`.
    pub fn name(&self) -> String {
        let mut name = match self.precision {
            Precision::Fp32 => "EncoderBlock",
            Precision::Fp16 => "EncoderBlockF16",
            Precision::Int8 => "EncoderBlockInt8",
        }
        .to_owned();
        if self.levelled {
            name += "_levelled";
        }
        for (layer, precision) in Layer::ALL.into_iter().zip(self.layers).filter(|(_, p)| *p != self.precision) {
            name += &format!("_{}_{}", layer.as_str(), precision.as_str());
        }
        name
    }
}

/// x [N,T,D] → y [N,T,D]. `num_heads` and `epsilon` come from the call; `activation` is the same in all calls of a
/// file, and the body is the one it names.
pub(super) fn encoder_block(kind: Kind) -> FunctionProto {
    let Kind { layers: [qkv, output, fc1, fc2], levelled, swiglu, .. } = kind;
    let attributes = ["num_heads", "epsilon", "activation"];
    let mut f = Function::new(&kind.name(), &attributes, &["x", "norm1_weight", "norm1_bias"]);
    linear::declare(&mut f, qkv, "qkv");
    linear::declare(&mut f, output, "output");
    f.input("norm2_weight");
    f.input("norm2_bias");
    linear::declare(&mut f, fc1, "fc1");
    if levelled {
        f.input("fc2_mean");
        f.input("fc2_factor");
    }
    linear::declare(&mut f, fc2, "fc2");
    linear::constants(&mut f, &kind.layers);

    f.layer_norm("x", "norm1_weight", "norm1_bias", "norm1");
    linear::body(&mut f, qkv, "norm1", "qkv", "qkv");
    attention(&mut f);
    linear::body(&mut f, output, "context", "output", "attention");
    f.op("Add", &["x", "attention"], "residual");

    f.layer_norm("residual", "norm2_weight", "norm2_bias", "norm2");
    linear::body(&mut f, fc1, "norm2", "fc1", "fc1");
    if swiglu {
        f.split("fc1", &["gate", "value"]);
        f.op("Sigmoid", &["gate"], "gate_sigmoid");
        f.op("Mul", &["gate", "gate_sigmoid"], "gate_silu");
        f.op("Mul", &["gate_silu", "value"], "hidden");
    } else {
        gelu(&mut f, "fc1", "hidden");
    }
    let mut hidden = "hidden";
    if levelled {
        f.op("Sub", &[hidden, "fc2_mean"], "hidden_centred");
        f.op("Mul", &["hidden_centred", "fc2_factor"], "hidden_levelled");
        hidden = "hidden_levelled";
    }
    linear::body(&mut f, fc2, hidden, "fc2", "feed_forward");
    f.op("Add", &["residual", "feed_forward"], "y");
    f.finish(&["y"])
}

/// qkv [N,T,3D] → context [N,T,D]; softmax(q·kᵀ)·v per head, q already scaled.
fn attention(f: &mut Function) {
    f.split("qkv", &["q_rows", "k_rows", "v_rows"]);
    f.attribute_as_list("heads", "num_heads");
    f.integers("keep_two", &[0, 0]);
    f.integers("rest", &[-1]);
    f.concat(&["keep_two", "heads", "rest"], -1, "by_head");
    for (rows, split, name, perm) in [
        ("q_rows", "q_split", "q", [0, 2, 1, 3]),
        ("k_rows", "k_split", "k_transposed", [0, 2, 3, 1]),
        ("v_rows", "v_split", "v", [0, 2, 1, 3]),
    ] {
        f.op("Reshape", &[rows, "by_head"], split);
        f.transpose(split, &perm, name);
    }
    f.op("MatMul", &["q", "k_transposed"], "scores");
    f.node("Softmax", &["scores"], &["weights"], vec![super::attribute::integer("axis", -1)]);
    f.op("MatMul", &["weights", "v"], "context_by_head");
    f.transpose("context_by_head", &[0, 2, 1, 3], "context_split");
    f.concat(&["keep_two", "rest"], -1, "joined");
    f.op("Reshape", &["context_split", "joined"], "context");
}

/// `output` = x · ½(1 + erf(x / √2))
pub(super) fn gelu(f: &mut Function, x: &str, output: &str) {
    f.scalar("sqrt_2", std::f32::consts::SQRT_2);
    f.scalar("one", 1.0);
    f.scalar("half", 0.5);
    f.op("Div", &[x, "sqrt_2"], &format!("{x}_scaled"));
    f.op("Erf", &[&format!("{x}_scaled")], "erf");
    f.op("Add", &["erf", "one"], "erf_plus_one");
    f.op("Mul", &[x, "half"], &format!("{x}_half"));
    f.op("Mul", &[&format!("{x}_half"), "erf_plus_one"], output);
}
