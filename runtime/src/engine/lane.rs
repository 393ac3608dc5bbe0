//! One way through the network: threads, memory and a plan of its own over weights that all lanes share.

use std::sync::Arc;

use tract_onnx::prelude::*;

use super::context::Context;
use super::heads::Heads;
use super::operator::Network;
use super::outputs::{NamedTensor, Outputs};
use super::parts::Parts;
use super::scratch::Scratch;
use super::{graph, internal, isa_error, operator, threads};
use crate::error::Result;

/// Takes one pass at a time.
#[derive(Debug)]
pub(super) struct Lane {
    /// The fused operators.
    pub network: Arc<Network>,
    plan: Arc<TypedRunnableModel>,
    /// Of the outputs, in the graph's order.
    names: Vec<String>,
    pool: rayon::ThreadPool,
}

impl Lane {
    /// tract's plan over the fused operators of `parts`, run by `pool`.
    ///
    /// # Errors
    /// An instruction set that is not available; tract's errors.
    pub fn new(parts: Arc<Parts>, isa: rad_dino_kernels::Isa, pool: rayon::ThreadPool) -> Result<Self> {
        let kernels = rad_dino_kernels::kernels(isa).map_err(isa_error)?;
        let skeleton = graph::skeleton(&parts);
        let names = skeleton.graph.iter().flat_map(|g| &g.output).map(|o| o.name.clone()).collect();
        let context = Context::new(kernels, Scratch::new(pool.current_num_threads(), &parts));
        let network = Arc::new(Network { parts, context });
        let plan = operator::parse(&skeleton, network.clone())
            .and_then(|model| model.into_optimized()?.into_runnable())
            .map_err(internal)?;
        Ok(Lane { network, plan, names, pool })
    }

    /// A lane over the same weights with `count` threads of its own.
    ///
    /// # Errors
    /// As [`Lane::new`]; when no threads can be started.
    pub fn beside(&self, count: usize) -> Result<Self> {
        Lane::new(self.network.parts.clone(), self.network.context.kernels.isa(), threads(count)?)
    }

    /// Runs `n` images, `pixel_values` [n, 3, S, S].
    ///
    /// # Errors
    /// tract's.
    pub fn run(&self, pixel_values: &[f32], n: usize) -> Result<Outputs> {
        let embed = &self.network.parts.patch_embed;
        let size = embed.image_size();
        let input = Tensor::from_shape(&[n, 3, size, size], pixel_values).map_err(internal)?;
        let results = self.install(|| self.plan.run(tvec!(input.into_tvalue()))).map_err(internal)?;
        let tensors = self.names.iter().zip(&results);
        let tensors = tensors.filter_map(|(name, value)| NamedTensor::from_tract(name.clone(), value));
        let prefix = embed.prefix_tokens();
        let attention = self.network.context.take_attention();
        let attention = attention.chunks_exact(embed.tokens()).flat_map(|image| &image[prefix..]).copied().collect();
        Ok(Outputs::new(tensors.collect())?.with(attention, self.network.context.heads_time()))
    }

    /// Runs `task` on the lane's threads.
    pub fn install<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        self.pool.install(task)
    }

    /// The model's heads, when the graph has them.
    pub fn heads(&self) -> Option<&Heads> {
        self.network.parts.heads.as_ref()
    }
}
