//! Parts from a model file of ours: every node is one function call, its weights are read straight from the file's bytes.

use std::collections::HashSet;

use rad_dino_kernels::{Isa, PackedF32, PackedI8};
use rayon::prelude::*;

use super::block::{Activation, Block, Levelling};
use super::heads::{Head, Heads};
use super::linear::Linear;
use super::norm::LayerNorm;
use super::parts::{INT8_BLOCK, Parts, block_function};
use super::patch_embed::PatchEmbed;
use super::segmentation::Segmentation;
use crate::error::Result;
use crate::model::onnx::{DOMAIN, Node, OnnxFile, refused};
use crate::model::{SegmentationSizes, manifest};
use crate::preprocess::MAX_SIDE;

/// Logits of a mask, C·(s·g)², and its hidden layer, W·g²: 2²⁶ floats are 256 MB.
const MAX_LOGITS: usize = 1 << 26;
/// Outputs of a block's first feed-forward layer: each thread has room for some eighty rows of them.
const MAX_FEED_FORWARD: usize = 1 << 18;

/// Reads the parts of `file` for the kernels of `isa`; blocks are packed in parallel on the current pool.
///
/// # Errors
/// [`crate::ErrorKind::Model`] naming the node or tensor that does not fit.
pub fn parts(file: &OnnxFile<'_>, isa: Isa) -> Result<Parts> {
    if let Some(stranger) = file.nodes.iter().find(|node| node.domain != DOMAIN) {
        return Err(refused(format!("node `{}` ({}) is no function of ours", stranger.name, stranger.op_type)));
    }
    each_once(file, &file.nodes)?;
    let [first, blocks @ ..] = &file.nodes[..] else { return Err(refused("the graph is empty")) };
    if first.op_type != "PatchEmbed" {
        return Err(refused(format!("the graph starts with `{}`, expected PatchEmbed", first.op_type)));
    }
    let patch_embed = patch_embed(file, isa, first)?;
    let width = patch_embed.width();
    let depth = blocks.iter().take_while(|node| block_function(node.op_type).is_some()).count();
    let (blocks, rest) = blocks.split_at(depth);
    let (norm, heads) = match rest {
        [norm] if norm.op_type == "FinalNorm" => (norm, None),
        [norm, probes] if norm.op_type == "FinalNorm" && probes.op_type == "Probes" => (norm, Some(probes)),
        _ => return Err(refused("after the blocks there must be FinalNorm and at most one Probes")),
    };
    // One chain: each node's first input is the output of the one before.
    for pair in file.nodes.windows(2) {
        if pair[1].inputs.first() != pair[0].outputs.first() || pair[0].outputs.is_empty() {
            return Err(refused(format!("node `{}` does not follow `{}`", pair[1].name, pair[0].name)));
        }
    }
    let last = depth.wrapping_sub(1);
    let blocks = blocks
        .par_iter()
        .enumerate()
        .map(|(i, node)| block(file, isa, node, width, i == last))
        .collect::<Result<Vec<_>>>()?;
    let reader = Reader { file, isa, node: norm };
    let final_norm = reader.norm(1, width)?;
    let heads = heads.map(|node| probes(file, isa, node, &patch_embed)).transpose()?;
    Ok(Parts { patch_embed, blocks, final_norm, heads })
}

/// A tensor belongs to one of `nodes`. A small file that named a large tensor a thousand times would be packed a thousand
/// times.
pub(crate) fn each_once(file: &OnnxFile<'_>, nodes: &[Node<'_>]) -> Result<()> {
    let mut seen = HashSet::new();
    for node in nodes {
        let again = node.inputs.iter().find(|input| file.tensors.contains_key(**input) && !seen.insert(**input));
        if let Some(input) = again {
            return Err(refused(format!("node `{}`: tensor `{input}` is used twice", node.name)));
        }
    }
    Ok(())
}

/// Reads a node's inputs by position.
pub(crate) struct Reader<'a> {
    pub file: &'a OnnxFile<'a>,
    pub isa: Isa,
    pub node: &'a Node<'a>,
}

impl<'a> Reader<'a> {
    pub fn tensor(&self, input: usize) -> Result<&'a crate::model::onnx::Tensor<'a>> {
        let name = self.node.inputs.get(input);
        let name = name.ok_or_else(|| refused(format!("node `{}` lacks input {input}", self.node.name)))?;
        self.file.tensor(name)
    }

    pub fn floats(&self, input: usize, dims: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.tensor(input)?;
        tensor.expect_shape(dims)?;
        tensor.to_f32()
    }

    fn norm(&self, input: usize, width: usize) -> Result<LayerNorm> {
        let epsilon = self.node.float("epsilon")?;
        Ok(LayerNorm::new(self.floats(input, &[width])?, self.floats(input + 1, &[width])?, epsilon))
    }

    /// The outputs of the [K, N] weight at `input`.
    fn outputs(&self, input: usize, k: usize) -> Result<usize> {
        let tensor = self.tensor(input)?;
        match tensor.dims[..] {
            [rows, n] if rows == k && n > 0 => Ok(n),
            _ => Err(refused(format!("tensor `{}` has shape {:?}, expected [{k}, N]", tensor.name, tensor.dims))),
        }
    }

    /// weight [, scale], bias from `*input` on, advancing it.
    pub fn linear(&self, input: &mut usize, k: usize, n: usize) -> Result<Linear> {
        let weight = self.tensor(*input)?;
        weight.expect_shape(&[k, n])?;
        if weight.is_int8() {
            let scale = self.floats(*input + 1, &[n])?;
            let bias = self.floats(*input + 2, &[n])?;
            *input += 3;
            return Ok(Linear::Int8(PackedI8::new(self.isa, k, n, &weight.to_i8()?, &scale, &bias)));
        }
        let values = weight.to_f32()?;
        let bias = self.floats(*input + 1, &[n])?;
        *input += 2;
        Ok(Linear::F32(PackedF32::new(k, n, &bias, |i, j| values[i * n + j])))
    }
}

fn patch_embed(file: &OnnxFile<'_>, isa: Isa, node: &Node<'_>) -> Result<PatchEmbed> {
    let reader = Reader { file, isa, node };
    let p = node.size("patch_size")?;
    let weight = reader.tensor(1)?;
    let [width, 3, height, columns] = weight.dims[..] else {
        return Err(refused(format!("tensor `{}` has shape {:?}, expected [D, 3, p, p]", weight.name, weight.dims)));
    };
    if height != p || columns != p || width == 0 {
        return Err(refused(format!("tensor `{}` has shape {:?}, but patch_size is {p}", weight.name, weight.dims)));
    }
    let k = 3 * p * p;
    let values = weight.to_f32()?;
    let bias = reader.floats(2, &[width])?;
    let prefix = reader.tensor(3)?;
    let tokens = match prefix.dims[..] {
        [1, tokens, d] if d == width && tokens > 0 => tokens,
        _ => return Err(refused(format!("tensor `{}` has shape {:?}", prefix.name, prefix.dims))),
    };
    let prefix = reader.floats(3, &[1, tokens, width])?;
    let positions = reader.tensor(4)?;
    let patches = positions.dims.get(1).copied().unwrap_or(0);
    let grid = patches.isqrt();
    if grid == 0 || grid * grid != patches {
        return Err(refused(format!("tensor `{}` has shape {:?}: no square grid", positions.name, positions.dims)));
    }
    let positions = reader.floats(4, &[1, patches, width])?;
    if grid.checked_mul(p).is_none_or(|side| side > MAX_SIDE) {
        return Err(refused(format!("node `{}`: {grid} patches of {p} pixels a side are too many", node.name)));
    }
    let projection = PackedF32::new(k, width, &bias, |i, j| values[j * k + i]);
    Ok(PatchEmbed { projection, prefix, positions, patch_size: p, grid })
}

fn block(file: &OnnxFile<'_>, isa: Isa, node: &Node<'_>, width: usize, last: bool) -> Result<(&'static str, Block)> {
    let function = block_function(node.op_type);
    let function = function.ok_or_else(|| refused(format!("`{}` is no block of ours", node.op_type)))?;
    let reader = Reader { file, isa, node };
    let heads = node.size("num_heads")?;
    if !width.is_multiple_of(heads) {
        return Err(refused(format!("node `{}`: {heads} heads do not divide the width {width}", node.name)));
    }
    let activation = match node.string("activation") {
        Some("gelu") => Activation::Gelu,
        Some("swiglu") => Activation::SwiGlu,
        other => return Err(refused(format!("node `{}`: activation {other:?} is unknown", node.name))),
    };
    let norm1 = reader.norm(1, width)?;
    let mut at = 3;
    let qkv = reader.linear(&mut at, width, 3 * width)?;
    let output = reader.linear(&mut at, width, width)?;
    let norm2 = reader.norm(at, width)?;
    at += 2;
    let hidden = reader.outputs(at, width)?;
    if hidden > MAX_FEED_FORWARD {
        return Err(refused(format!("node `{}`: {hidden} hidden units are more than {MAX_FEED_FORWARD}", node.name)));
    }
    if activation == Activation::SwiGlu && !hidden.is_multiple_of(2) {
        return Err(refused(format!("node `{}`: an odd width {hidden} cannot be halved", node.name)));
    }
    let fc1 = reader.linear(&mut at, width, hidden)?;
    let inner = if activation == Activation::SwiGlu { hidden / 2 } else { hidden };
    // A layer starts with its weight [K, N]; what has one dimension here belongs to the levelling.
    let levelled = reader.tensor(at)?.dims.len() == 1;
    let fc2_levelling = match levelled {
        true => Some(Levelling { mean: reader.floats(at, &[inner])?, factor: reader.floats(at + 1, &[inner])? }),
        false => None,
    };
    at += 2 * usize::from(levelled);
    let fc2 = reader.linear(&mut at, inner, width)?;
    let int8_attention = function == INT8_BLOCK;
    let record_attention = last;
    Ok((
        function,
        Block {
            norm1,
            qkv,
            output,
            norm2,
            fc1,
            fc2_levelling,
            fc2,
            heads,
            activation,
            int8_attention,
            record_attention,
        },
    ))
}

fn probes(file: &OnnxFile<'_>, isa: Isa, node: &Node<'_>, patch_embed: &PatchEmbed) -> Result<Heads> {
    let reader = Reader { file, isa, node };
    let (width, prefix_tokens) = (patch_embed.width(), patch_embed.prefix_tokens());
    if node.size("prefix_tokens")? != prefix_tokens {
        return Err(refused(format!("node `{}`: prefix_tokens is not {prefix_tokens}", node.name)));
    }
    let names = node.strings("heads");
    let hidden = node.integers("hidden");
    let outputs: Vec<&str> = names.iter().map(|name| manifest::Heads::output_name(name)).collect();
    let rising = names.iter().map(|name| manifest::Heads::NAMES.iter().position(|known| known == name));
    let rising: Option<Vec<usize>> = rising.collect();
    let known = rising.is_some_and(|places| places.is_sorted_by(|a, b| a < b));
    if names.is_empty() || names.len() != hidden.len() || !known || node.outputs != outputs {
        return Err(refused(format!("node `{}`: heads {names:?} are not understood", node.name)));
    }
    let mut at = 1;
    let mut heads = vec![];
    let mut segmentation = None;
    for (name, hidden) in names.iter().zip(hidden) {
        let h = usize::try_from(*hidden).ok().filter(|h| *h < 1 << 20);
        let h = h.ok_or_else(|| refused(format!("node `{}`: hidden width {hidden}", node.name)))?;
        if *name == "segmentation" {
            segmentation = Some(segmentation_head(&reader, &mut at, h, patch_embed)?);
            continue;
        }
        let k = 2 * width + h;
        let outputs = reader.outputs(at, k)?;
        let Linear::F32(readout) = reader.linear(&mut at, k, outputs)? else {
            return Err(refused(format!("node `{}`: int8 heads are not supported", node.name)));
        };
        let hidden = match h {
            0 => None,
            _ => match reader.linear(&mut at, 2 * width, h)? {
                Linear::F32(hidden) => Some(hidden),
                Linear::Int8(_) => return Err(refused(format!("node `{}`: int8 heads", node.name))),
            },
        };
        heads.push(Head { name: (*name).to_string(), hidden, readout });
    }
    Ok(Heads { heads, segmentation, prefix_tokens, width })
}

/// The attribute `segmentation` is C, s and the number of 3×3 convolutions; every layer is a Conv's weight and bias.
fn segmentation_head(
    reader: &Reader<'_>,
    at: &mut usize,
    hidden: usize,
    patch_embed: &PatchEmbed,
) -> Result<Segmentation> {
    let sizes: Option<Vec<usize>> =
        reader.node.integers("segmentation").iter().map(|n| usize::try_from(*n).ok()).collect();
    let refuse = || refused(format!("node `{}`: its segmentation makes no head", reader.node.name));
    let Some([channels, scale, convolutions]) = sizes.as_deref() else { return Err(refuse()) };
    let sizes = SegmentationSizes { channels: *channels, scale: *scale, hidden, convolutions: *convolutions };
    let rows = sizes.rows().ok_or_else(refuse)?;
    if rows.max(hidden).saturating_mul(patch_embed.grid * patch_embed.grid) > MAX_LOGITS {
        return Err(refuse());
    }
    let mut layer = |outputs: usize, inputs: usize, side: usize| -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = reader.floats(*at, &[outputs, inputs, side, side])?;
        let bias = reader.floats(*at + 1, &[outputs])?;
        *at += 2;
        Ok((weight, bias))
    };
    let width = patch_embed.width();
    let project = match hidden {
        0 => None,
        w => {
            let (weight, bias) = layer(w, width, 1)?;
            Some(PackedF32::new(width, w, &bias, |k, n| weight[n * width + k]))
        }
    };
    let mut convolutions = Vec::with_capacity(sizes.convolutions);
    for _ in 0..sizes.convolutions {
        let (weight, bias) = layer(hidden, hidden, 3)?;
        convolutions.push(Segmentation::convolution(hidden, &weight, &bias));
    }
    let inputs = if hidden > 0 { hidden } else { width };
    let (weight, bias) = layer(rows, inputs, 1)?;
    let readout = PackedF32::new(inputs, bias.len(), &bias, |k, n| weight[n * inputs + k]);
    Ok(Segmentation::new(sizes.channels, sizes.scale, patch_embed.grid, project, convolutions, readout))
}
