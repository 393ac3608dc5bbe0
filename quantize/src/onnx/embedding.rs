//! PatchEmbed and FinalNorm.

use rad_dino_edge::model::manifest::Precision;
use tract_onnx::pb::FunctionProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::attribute;
use super::function::Function;

/// pixel_values [N,3,S,S] → tokens [N,1+R+P,D]: prefix (CLS with its position, registers), then patches + positions.
pub(super) fn patch_embed(precision: Precision, patch: usize) -> FunctionProto {
    let inputs = ["pixel_values", "weight", "bias", "prefix", "positions"];
    let mut f = Function::new("PatchEmbed", &["patch_size"], &inputs);
    let weight = match precision {
        Precision::Fp32 => "weight",
        Precision::Fp16 | Precision::Int8 => {
            f.cast("weight", DataType::Float, "weight_f32");
            "weight_f32"
        }
    };
    // Conv takes no reference to an integer attribute for its list of strides, so the file's own patch side is here
    let sides = [patch as i64; 2];
    let attributes = vec![attribute::integers("kernel_shape", &sides), attribute::integers("strides", &sides)];
    f.node("Conv", &["pixel_values", weight, "bias"], &["patch_map"], attributes);
    f.integers("flat_shape", &[0, 0, -1]);
    f.op("Reshape", &["patch_map", "flat_shape"], "patch_rows");
    f.transpose("patch_rows", &[0, 2, 1], "patches");
    f.op("Add", &["patches", "positions"], "placed");
    // the prefix once per image of the batch
    f.op("Shape", &["pixel_values"], "shape");
    f.integers("first", &[0]);
    f.integers("one", &[1]);
    f.op("Slice", &["shape", "first", "one"], "batch");
    f.concat(&["batch", "one", "one"], -1, "prefix_shape");
    f.op("Expand", &["prefix", "prefix_shape"], "prefixes");
    f.concat(&["prefixes", "placed"], 1, "tokens");
    f.finish(&["tokens"])
}

/// x [N,T,D] → LayerNorm over D.
pub(super) fn final_norm() -> FunctionProto {
    let mut f = Function::new("FinalNorm", &["epsilon"], &["x", "weight", "bias"]);
    f.layer_norm("x", "weight", "bias", "last_hidden_state");
    f.finish(&["last_hidden_state"])
}
