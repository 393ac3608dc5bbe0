//! Our fused operators inside tract: one typed operator per part, registered under its function's name.

use std::cell::RefCell;
use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::internal::*;

use super::context::Context;
use super::parts::{BLOCK_FUNCTIONS, Parts};

/// Which part of the network an operator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Role {
    PatchEmbed,
    Block(usize),
    FinalNorm,
    Heads,
}

/// A part of the network as a tract operator.
#[derive(Clone, Debug)]
pub struct Fused {
    name: &'static str,
    role: Role,
    network: Arc<Network>,
}

/// The parts with what they run on.
#[derive(Debug)]
pub struct Network {
    /// The weights.
    pub parts: Arc<Parts>,
    /// Kernels and scratch.
    pub context: Context,
}

impl PartialEq for Fused {
    fn eq(&self, other: &Self) -> bool {
        self.role == other.role && Arc::ptr_eq(&self.network, &other.network)
    }
}

impl Eq for Fused {}

impl std::hash::Hash for Fused {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.role.hash(state);
        Arc::as_ptr(&self.network).hash(state);
    }
}

thread_local! {
    // tract's builders are bare function pointers: the network is handed to them here while a graph is parsed.
    static PARSED: RefCell<Option<Arc<Network>>> = const { RefCell::new(None) };
}

/// The name of the node attribute that numbers a block.
pub const INDEX_ATTRIBUTE: &str = "index";

/// Parses `model` with our operators standing for `network`'s parts.
///
/// # Errors
/// tract's.
pub fn parse(model: &tract_onnx::pb::ModelProto, network: Arc<Network>) -> TractResult<InferenceModel> {
    let mut onnx = tract_onnx::onnx();
    for name in ["PatchEmbed", "FinalNorm", "Probes"].into_iter().chain(BLOCK_FUNCTIONS) {
        onnx.op_register.insert(name, build);
    }
    PARSED.set(Some(network));
    let parsed = onnx.model_for_proto_model(model);
    PARSED.set(None);
    parsed
}

fn build(_: &tract_onnx::model::ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let network = PARSED.with_borrow(Clone::clone).context("no network is being parsed")?;
    let (name, role) = match &*node.op_type {
        "PatchEmbed" => ("PatchEmbed", Role::PatchEmbed),
        "FinalNorm" => ("FinalNorm", Role::FinalNorm),
        "Probes" => ("Probes", Role::Heads),
        _ => {
            let index = node.attribute.iter().find(|a| a.name == INDEX_ATTRIBUTE).context("block without index")?;
            let index = usize::try_from(index.i)?;
            (network.parts.blocks.get(index).context("block index")?.0, Role::Block(index))
        }
    };
    Ok((expand(Fused { name, role, network }), vec![]))
}

impl Fused {
    /// Output shapes for an input with batch dimension `n`.
    fn output_shapes(&self, n: &TDim) -> Vec<TVec<TDim>> {
        let parts = &self.network.parts;
        match &self.role {
            Role::Heads => {
                let shapes = parts.heads.iter().flat_map(|heads| heads.outputs());
                shapes
                    .map(|(_, shape)| std::iter::once(n.clone()).chain(shape.iter().map(|d| d.to_dim())).collect())
                    .collect()
            }
            _ => {
                let tokens = parts.patch_embed.tokens();
                vec![tvec![n.clone(), tokens.to_dim(), parts.patch_embed.width().to_dim()]]
            }
        }
    }

    fn forward(&self, input: TValue) -> TractResult<TVec<TValue>> {
        let Network { parts, context } = &*self.network;
        let width = parts.patch_embed.width();
        let per_image = parts.patch_embed.tokens() * width;
        let n = input.shape()[0];
        match self.role {
            Role::PatchEmbed => {
                let pixels = input.try_as_plain_ram()?;
                let pixels = pixels.as_slice::<f32>()?;
                let mut out = Tensor::zero::<f32>(&[n, parts.patch_embed.tokens(), width])?;
                let size = parts.patch_embed.image_size();
                let mut view = out.try_as_plain_ram_mut()?;
                let tokens = view.as_slice_mut::<f32>()?;
                for (pixels, tokens) in pixels.chunks_exact(3 * size * size).zip(tokens.chunks_exact_mut(per_image)) {
                    parts.patch_embed.forward(context, pixels, tokens);
                }
                Ok(tvec![out.into_tvalue()])
            }
            Role::Block(index) => {
                // The tokens are updated in place when nobody else holds them, which is always so in our chain.
                let mut x = input.into_tensor();
                let mut view = x.try_as_plain_ram_mut()?;
                let tokens = view.as_slice_mut::<f32>()?;
                for (image, tokens) in tokens.chunks_exact_mut(per_image).enumerate() {
                    parts.blocks[index].1.forward(context, image, tokens);
                }
                Ok(tvec![x.into_tvalue()])
            }
            Role::FinalNorm => {
                let x = input.try_as_plain_ram()?;
                let mut out = Tensor::zero::<f32>(input.shape())?;
                let mut view = out.try_as_plain_ram_mut()?;
                parts.final_norm.apply(&*context.kernels, x.as_slice::<f32>()?, view.as_slice_mut::<f32>()?);
                Ok(tvec![out.into_tvalue()])
            }
            Role::Heads => {
                let heads = parts.heads.as_ref().context("the network has no heads")?;
                let start = std::time::Instant::now();
                let hidden = input.try_as_plain_ram()?;
                let shapes = heads.outputs().into_iter().map(|(_, shape)| [vec![n], shape].concat());
                let mut outputs = shapes.map(|shape| Tensor::zero::<f32>(&shape)).collect::<TractResult<Vec<_>>>()?;
                let mut views =
                    outputs.iter_mut().map(|o| o.try_as_plain_ram_mut()).collect::<TractResult<Vec<_>>>()?;
                let mut batches = Vec::with_capacity(views.len());
                for view in &mut views {
                    let values = view.as_slice_mut::<f32>()?;
                    batches.push(values.chunks_exact_mut((values.len() / n.max(1)).max(1)));
                }
                for tokens in hidden.as_slice::<f32>()?.chunks_exact(per_image) {
                    let mut one: Vec<&mut [f32]> = batches.iter_mut().filter_map(Iterator::next).collect();
                    heads.forward(context, tokens, &mut one);
                }
                drop(batches);
                drop(views);
                context.record_heads(start.elapsed());
                Ok(outputs.into_iter().map(Tensor::into_tvalue).collect())
            }
        }
    }
}

impl Expansion for Fused {
    fn name(&self) -> StaticName {
        self.name.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.output_shapes(&1.to_dim()).len())
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        for output in outputs {
            solver.equals(&output.datum_type, f32::datum_type())?;
        }
        solver.given(&inputs[0].shape[0], move |s, n| {
            for (output, shape) in outputs.iter().zip(self.output_shapes(&n)) {
                s.equals(&output.shape, shape)?;
            }
            Ok(())
        })
    }
}

impl Op for Fused {
    fn name(&self) -> StaticName {
        self.name.into()
    }
    op_as_typed_op!();
}

impl EvalOp for Fused {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, mut inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.forward(inputs.pop().context("no input")?)
    }
}

impl TypedOp for Fused {
    as_op!();

    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let n = &inputs[0].shape[0];
        Ok(self.output_shapes(n).into_iter().map(f32::fact).collect())
    }
}
