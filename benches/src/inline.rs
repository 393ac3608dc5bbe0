//! A model file with its functions inlined, so that tract runs it with its own operators.

use std::collections::HashMap;

use tract_onnx::pb;

/// The graph of `model` with every call of a model-local function replaced by the function's body.
pub fn inline_functions(model: &pb::ModelProto) -> pb::ModelProto {
    let mut inlined = model.clone();
    let functions: HashMap<&str, &pb::FunctionProto> = model.functions.iter().map(|f| (f.name(), f)).collect();
    if let Some(graph) = &mut inlined.graph {
        let calls = std::mem::take(&mut graph.node);
        for (i, call) in calls.into_iter().enumerate() {
            match functions.get(&*call.op_type) {
                Some(function) => graph.node.extend(body(function, &call, i)),
                None => graph.node.push(call),
            }
        }
    }
    inlined.functions.clear();
    inlined.opset_import.retain(|opset| opset.domain.is_empty());
    inlined
}

/// The nodes of one call, with the caller's names for inputs and outputs and fresh ones inside.
fn body(function: &pb::FunctionProto, call: &pb::NodeProto, index: usize) -> Vec<pb::NodeProto> {
    let mut names: HashMap<&str, String> = HashMap::new();
    names.extend(function.input.iter().zip(&call.input).map(|(inner, outer)| (&**inner, outer.clone())));
    names.extend(function.output.iter().zip(&call.output).map(|(inner, outer)| (&**inner, outer.clone())));
    let rename = |name: &String| match names.get(&**name) {
        Some(outer) => outer.clone(),
        None if name.is_empty() => String::new(),
        // a graph may have values called `name.index` itself
        None => format!("{index}/{name}"),
    };
    let nodes = function.node.iter().map(|node| {
        let mut node = node.clone();
        node.input = node.input.iter().map(rename).collect();
        node.output = node.output.iter().map(rename).collect();
        node.name = format!("{}.{index}", node.name);
        for attribute in &mut node.attribute {
            if let Some(given) = call.attribute.iter().find(|a| a.name == attribute.ref_attr_name) {
                let name = std::mem::take(&mut attribute.name);
                *attribute = pb::AttributeProto { name, ..given.clone() };
            }
        }
        node
    });
    nodes.collect()
}
