//! A linear layer in each precision: as nodes of a function's body, and as the tensors of a call.

use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::{Error, ErrorKind, Result};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::function::Function;
use super::tensor;
use crate::fold::Linear;
use crate::fp16;
use crate::rounded::Rounded;

/// The function's inputs for layer `part`, in order.
pub(super) fn declare(f: &mut Function, precision: Precision, part: &str) {
    f.input(&format!("{part}_weight"));
    if precision == Precision::Int8 {
        f.input(&format!("{part}_scale"));
    }
    f.input(&format!("{part}_bias"));
}

/// `output` = `x` · weight + bias.
///
/// In int8 this states all the arithmetic: every row of x (a token) is rounded to 127 steps of its largest magnitude,
/// ties to even; products are summed in int32; the sums are scaled by the row and then by the column. Both operands are
/// bytes around 128, not signed ones: ONNX Runtime's product of unsigned with signed bytes saturates on x86 without VNNI.
pub(super) fn body(f: &mut Function, precision: Precision, x: &str, part: &str, output: &str) {
    let (weight, bias) = (format!("{part}_weight"), format!("{part}_bias"));
    let name = |value: &str| format!("{part}_{value}");
    let product = name("product");
    match precision {
        Precision::Fp32 => f.op("MatMul", &[x, &weight], &product),
        Precision::Fp16 => {
            f.cast(&weight, DataType::Float, &name("weight_f32"));
            f.op("MatMul", &[x, &name("weight_f32")], &product);
        }
        Precision::Int8 => {
            f.op("Abs", &[x], &name("magnitude"));
            let attributes = vec![super::attribute::integers("axes", &[-1]), super::attribute::integer("keepdims", 1)];
            f.node("ReduceMax", &[&name("magnitude")], &[&name("peak_or_zero")], attributes);
            f.op("Max", &[&name("peak_or_zero"), TINY], &name("peak"));
            f.op("Div", &[STEPS, &name("peak")], &name("inverse"));
            f.op("Mul", &[x, &name("inverse")], &name("in_steps"));
            f.op("Round", &[&name("in_steps")], &name("steps"));
            f.op("Add", &[&name("steps"), OFFSET], &name("shifted"));
            f.cast(&name("shifted"), DataType::Uint8, &name("x_u8"));
            f.op("MatMulInteger", &[&name("x_u8"), &weight, ZERO_POINT, ZERO_POINT], &name("sum_i32"));
            f.cast(&name("sum_i32"), DataType::Float, &name("sum"));
            f.op("Div", &[&name("peak"), STEPS], &name("row_scale"));
            f.op("Mul", &[&name("sum"), &name("row_scale")], &name("by_row"));
            f.op("Mul", &[&name("by_row"), &name("scale")], &product);
        }
    }
    f.op("Add", &[&product, &bias], output);
}

const TINY: &str = "tiny";
const STEPS: &str = "steps_127";
/// What a byte of 128 stands for is 0.
pub(super) const OFFSET: &str = "offset_128";
const ZERO_POINT: &str = "zero_point_128";

/// The constants that int8 layers share; once per function, before the first layer.
pub(super) fn constants(f: &mut Function, layers: &[Precision]) {
    if layers.contains(&Precision::Int8) {
        f.scalar(TINY, 1e-9);
        f.scalar(STEPS, 127.0);
        f.scalar(OFFSET, 128.0);
        f.constant(ZERO_POINT, tensor::u8_scalar(128));
    }
}

/// The tensors of a call, in the order of [`declare`]; `prefix` names the block.
pub(super) fn tensors(linear: &Linear, rounded: &Rounded, prefix: &str, part: &str) -> Result<Vec<TensorProto>> {
    let name = |value: &str| format!("{prefix}.{part}_{value}");
    let dims = [linear.inputs, linear.outputs];
    let bias = tensor::f32s(&name("bias"), &dims[1..], &linear.bias);
    Ok(match rounded {
        Rounded::F32 => vec![tensor::f32s(&name("weight"), &dims, &linear.weight), bias],
        Rounded::F16 => vec![half(&name("weight"), &dims, &linear.weight)?, bias],
        Rounded::Int8(rounded) => vec![
            tensor::around_128(&name("weight"), &dims, &rounded.values),
            tensor::f32s(&name("scale"), &dims[1..], &rounded.scale),
            bias,
        ],
    })
}

/// A half-precision tensor, or an error that names it.
pub(super) fn half(name: &str, dims: &[usize], values: &[f32]) -> Result<TensorProto> {
    let bytes = fp16::encode(values).ok_or_else(|| {
        Error::new(ErrorKind::Checkpoint, format!("tensor {name} has values beyond ±65504"))
            .hint("convert with --precision fp32")
    })?;
    Ok(tensor::f16s(name, dims, bytes))
}
