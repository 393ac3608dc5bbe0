//! The segmentation head as convolutions and a pixel shuffle.

use rad_dino_edge::checkpoint::SegmentationHead;
use tract_onnx::pb::TensorProto;

use super::function::Function;
use super::{attribute, tensor};

/// `patches` [N,P,D] → `segmentation_logits` [N,C,s·g,s·g], with P = g·g.
pub(super) fn body(f: &mut Function, head: &SegmentationHead, grid: usize) {
    f.transpose("patches", &[0, 2, 1], "segmentation_columns");
    f.integers("segmentation_grid", &[0, -1, grid as i64, grid as i64]);
    f.op("Reshape", &["segmentation_columns", "segmentation_grid"], "segmentation_cells");
    let mut input = "segmentation_cells".to_owned();
    let mut layers = Vec::new();
    if head.hidden > 0 {
        layers.push(("project".to_owned(), 0));
        layers.extend((0..head.convolutions.len()).map(|i| (format!("convolution{i}"), 1)));
    }
    for (layer, border) in layers {
        let sum = convolution(f, &input, &layer, border);
        input = format!("segmentation_{layer}_relu");
        f.op("Relu", &[&sum], &input);
    }
    let read = convolution(f, &input, "readout", 0);
    let shuffle = vec![attribute::integer("blocksize", head.scale as i64), attribute::string("mode", "CRD")];
    f.node("DepthToSpace", &[&read], &["segmentation_logits"], shuffle);
}

fn convolution(f: &mut Function, input: &str, layer: &str, border: i64) -> String {
    let [weight, bias] = ["weight", "bias"].map(|part| format!("segmentation_{layer}_{part}"));
    f.input(&weight);
    f.input(&bias);
    let output = format!("segmentation_{layer}");
    f.node("Conv", &[input, &weight, &bias], &[&output], vec![attribute::integers("pads", &[border; 4])]);
    output
}

/// Weights and biases in the order of the layers, as Conv has them.
pub(super) fn tensors(head: &SegmentationHead, dim: usize) -> Vec<TensorProto> {
    let tensors = head.tensors(dim).into_iter().map(|(name, mut shape, values)| {
        if name.ends_with("weight") {
            shape.resize(4, 1);
        }
        tensor::f32s(&format!("probes.segmentation_{}", name.replace('.', "_")), &shape, values)
    });
    tensors.collect()
}
