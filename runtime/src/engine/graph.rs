//! The graph tract gets: the chain of our functions without any weights.

use tract_onnx::pb;

use super::operator::INDEX_ATTRIBUTE;
use super::parts::Parts;

/// An ONNX graph of PatchEmbed → blocks → FinalNorm (→ Probes), each node with its dynamic input only.
pub fn skeleton(parts: &Parts) -> pb::ModelProto {
    let size = parts.patch_embed.image_size() as i64;
    let mut nodes = vec![node("PatchEmbed", "pixel_values", &["tokens.0".into()])];
    for (i, (function, _)) in parts.blocks.iter().enumerate() {
        let mut block = node(function, &format!("tokens.{i}"), &[format!("tokens.{}", i + 1)]);
        block.attribute.push(pb::AttributeProto {
            name: INDEX_ATTRIBUTE.into(),
            r#type: pb::attribute_proto::AttributeType::Int as i32,
            i: i as i64,
            ..Default::default()
        });
        nodes.push(block);
    }
    nodes.push(node("FinalNorm", &format!("tokens.{}", parts.blocks.len()), &["last_hidden_state".into()]));
    let mut outputs = vec!["last_hidden_state".to_string()];
    if let Some(heads) = &parts.heads {
        let names: Vec<String> = heads.outputs().into_iter().map(|(name, _)| name.to_string()).collect();
        nodes.push(node("Probes", "last_hidden_state", &names));
        outputs.extend(names);
    }
    let graph = pb::GraphProto {
        name: "rad_dino".into(),
        node: nodes,
        input: vec![value("pixel_values", &[None, Some(3), Some(size), Some(size)])],
        output: outputs.iter().map(|name| value(name, &[])).collect(),
        ..Default::default()
    };
    pb::ModelProto {
        ir_version: 8,
        graph: Some(graph),
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }],
        ..Default::default()
    }
}

fn node(op_type: &str, input: &str, outputs: &[String]) -> pb::NodeProto {
    pb::NodeProto {
        op_type: op_type.into(),
        name: outputs.first().cloned().unwrap_or_default(),
        input: vec![input.into()],
        output: outputs.to_vec(),
        ..Default::default()
    }
}

fn value(name: &str, dims: &[Option<i64>]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension};
    let dim = |d: &Option<i64>| Dimension {
        value: Some(match d {
            Some(d) => dimension::Value::DimValue(*d),
            None => dimension::Value::DimParam("N".into()),
        }),
        ..Default::default()
    };
    let shape = (!dims.is_empty()).then(|| pb::TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = pb::type_proto::Tensor { elem_type: pb::tensor_proto::DataType::Float as i32, shape };
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() }),
        ..Default::default()
    }
}
