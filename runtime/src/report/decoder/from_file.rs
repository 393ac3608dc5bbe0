//! Layers from a decoder file: DecoderEmbed, the blocks, DecoderHead, each one node.

use rad_dino_kernels::{Isa, PackedF32, PackedI8, kernels};

use super::manifest::DecoderManifest;
use super::network::{Block, Embedding, Network, Projection};
use crate::engine::from_file::{Reader, each_once};
use crate::engine::isa_error;
use crate::engine::linear::Linear;
use crate::error::Result;
use crate::model::onnx::{DOMAIN, Node, OnnxFile, refused};

/// The functions of a block, fp32 and int8.
const BLOCKS: [&str; 2] = ["DecoderBlock", "DecoderBlockInt8"];

/// Reads the layers of `file` for the kernels of `isa`.
///
/// # Errors
/// [`crate::ErrorKind::Model`] naming the node or tensor that does not fit.
pub(super) fn network(file: &OnnxFile<'_>, manifest: &DecoderManifest, isa: Isa) -> Result<Network> {
    let shape = manifest.architecture.clone();
    let depth = file.nodes.len().saturating_sub(2);
    let [embed, blocks @ .., head] = &file.nodes[..] else { return Err(refused("the graph is empty")) };
    let chain = embed.op_type == "DecoderEmbed"
        && head.op_type == "DecoderHead"
        && blocks.iter().all(|node| BLOCKS.contains(&node.op_type))
        && file.nodes.iter().all(|node| node.domain == DOMAIN);
    if !chain || depth != shape.depth {
        return Err(refused(format!("its graph is not DecoderEmbed, {} blocks and DecoderHead", shape.depth)));
    }
    // The table may be the head's too.
    let (body, tail) = (file.nodes.split_last().map_or(&[][..], |(_, body)| body), &file.nodes[1..]);
    each_once(file, body)?;
    each_once(file, tail)?;
    let (v, d, half) = (shape.vocab_size, shape.hidden_size, shape.head_dim / 2);
    let reader = Reader { file, isa, node: embed };
    let frequencies = reader.floats(2, &[half])?;
    let mut at = 3;
    let embedding = embedding(&reader, &mut at, v, d)?;
    let projection = match &manifest.image {
        None => None,
        Some(image) => {
            at += 1; // image_tokens
            let fc1 = reader.linear(&mut at, image.encoder_width, image.hidden)?;
            Some(Projection { fc1, fc2: reader.linear(&mut at, image.hidden, d)? })
        }
    };
    let blocks = blocks.iter().map(|node| block(file, isa, manifest, node)).collect::<Result<_>>()?;
    let reader = Reader { file, isa, node: head };
    let norm = reader.floats(1, &[d])?;
    let head = output(&reader, isa, v, d)?;
    let kernels = kernels(isa).map_err(isa_error)?;
    Ok(Network { kernels, shape, embedding, projection, blocks, norm, head, frequencies })
}

fn embedding(reader: &Reader<'_>, at: &mut usize, v: usize, d: usize) -> Result<Embedding> {
    let table = reader.tensor(*at)?;
    table.expect_shape(&[v, d])?;
    *at += 1;
    if !table.is_int8() {
        return Ok(Embedding::F32(table.to_f32()?));
    }
    *at += 1;
    Ok(Embedding::Int8(table.to_i8()?, reader.floats(*at - 1, &[v])?))
}

/// The head's weight has the embedding's layout [V, D], whether or not it is the embedding.
fn output(reader: &Reader<'_>, isa: Isa, v: usize, d: usize) -> Result<Linear> {
    let bias = vec![0.0; v];
    let mut at = 2;
    Ok(match embedding(reader, &mut at, v, d)? {
        Embedding::F32(table) => Linear::F32(PackedF32::new(d, v, &bias, |k, n| table[n * d + k])),
        Embedding::Int8(table, scales) => {
            let mut columns = vec![0; table.len()];
            for (n, row) in table.chunks_exact(d).enumerate() {
                row.iter().enumerate().for_each(|(k, value)| columns[k * v + n] = *value);
            }
            Linear::Int8(PackedI8::new(isa, d, v, &columns, &scales, &bias))
        }
    })
}

fn block(file: &OnnxFile<'_>, isa: Isa, manifest: &DecoderManifest, node: &Node<'_>) -> Result<Block> {
    let shape = &manifest.architecture;
    let (d, f, q) = (shape.hidden_size, shape.intermediate_size, shape.num_heads * shape.head_dim);
    let kv = shape.num_kv_heads * shape.head_dim;
    let reader = Reader { file, isa, node };
    // hidden, past_key, past_value, cos, sin, mask come first
    let norm1 = reader.floats(6, &[d])?;
    let mut at = 7;
    let qkv = reader.linear(&mut at, d, q + 2 * kv)?;
    let output = reader.linear(&mut at, q, d)?;
    let norm2 = reader.floats(at, &[d])?;
    at += 1;
    let gate_up = reader.linear(&mut at, d, 2 * f)?;
    let down = reader.linear(&mut at, f, d)?;
    Ok(Block { norm1, qkv, output, norm2, gate_up, down })
}
