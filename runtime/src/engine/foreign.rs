//! A plain DINOv2 ONNX export from elsewhere: no functions of ours, no manifest; tract runs it with its own operators.

use std::panic::{AssertUnwindSafe, catch_unwind};

use prost::Message;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

use super::Shape;
use super::outputs::{NamedTensor, Outputs};
use crate::error::{Error, ErrorKind, Result};
use crate::model::onnx::OnnxFile;
use crate::preprocess::MAX_SIDE;

/// A foreign graph, fixed to one image a run.
#[derive(Debug)]
pub struct Foreign {
    plan: Arc<TypedRunnableModel>,
    executor: Executor,
    names: Vec<String>,
    /// Threads in use; one without the feature `foreign-threads`.
    pub threads: usize,
    /// What a run on zeros showed.
    pub shape: Shape,
}

/// The side used when the graph's input is symbolic and nobody says otherwise.
const DEFAULT_SIDE: usize = 224;

impl Foreign {
    /// Optimises the graph in `bytes` for one image of side `image_size` (default: the graph's own, else 224).
    ///
    /// # Errors
    /// When tract cannot run it or its output is no token sequence.
    pub fn load(bytes: &[u8], file: &OnnxFile<'_>, image_size: Option<usize>, threads: usize) -> Result<Self> {
        let fixed = file.inputs.iter().find_map(|(_, dims)| (dims.len() == 4).then(|| dims[3])).flatten();
        let side = image_size.or(fixed).unwrap_or(DEFAULT_SIDE);
        if !(1..=MAX_SIDE).contains(&side) {
            return Err(cannot_run(TractError::msg(format!(
                "its input is {side} pixels a side, 1 to {MAX_SIDE} are run"
            ))));
        }
        let proto = tract_onnx::pb::ModelProto::decode(bytes).map_err(|e| cannot_run(e.into()))?;
        let plan = caught(|| {
            let mut model = tract_onnx::onnx().model_for_proto_model(&proto)?;
            model.set_input_fact(0, f32::fact([1, 3, side, side]).into())?;
            model.into_optimized()?.into_runnable()
        })?;
        let (executor, threads) = executor(threads);
        let names = file.outputs.iter().map(|name| (*name).to_string()).collect();
        let shape = Shape { image_size: side, patch_size: 1, embed_dim: 0, prefix_tokens: 1, patches: 0 };
        let mut foreign = Foreign { plan, executor, names, threads, shape };
        let probe = foreign.run(&vec![0.0; 3 * side * side], 1)?;
        let [_, tokens, width] = probe.hidden_shape()[..] else {
            return Err(cannot_run(anyhow_shape(probe.hidden_shape())));
        };
        let grid = (tokens.saturating_sub(1)).isqrt();
        let patches = grid * grid;
        foreign.shape = Shape {
            image_size: side,
            patch_size: side / grid.max(1),
            embed_dim: width,
            prefix_tokens: tokens - patches,
            patches,
        };
        Ok(foreign)
    }

    /// Runs image by image.
    ///
    /// # Errors
    /// tract's.
    pub fn run(&self, pixel_values: &[f32], n: usize) -> Result<Outputs> {
        let side = self.shape.image_size;
        let mut merged: Vec<NamedTensor> = vec![];
        for image in pixel_values.chunks_exact(3 * side * side).take(n) {
            let input = Tensor::from_shape(&[1, 3, side, side], image).map_err(cannot_run)?;
            let run = || self.plan.run(tvec!(input.into_tvalue()));
            let results = caught(|| multithread_tract_scope(self.executor.clone(), run))?;
            for (i, value) in results.iter().enumerate() {
                let name = self.names.get(i).cloned().unwrap_or_default();
                let Some(tensor) = NamedTensor::from_tract(name, value) else { continue };
                match merged.iter_mut().find(|t| t.name == tensor.name) {
                    Some(all) => all.append(tensor),
                    None => merged.push(tensor),
                }
            }
        }
        Outputs::new(merged)
    }
}

#[cfg(feature = "foreign-threads")]
fn executor(threads: usize) -> (Executor, usize) {
    (if threads > 1 { Executor::multithread(threads) } else { Executor::SingleThread }, threads)
}

#[cfg(not(feature = "foreign-threads"))]
fn executor(_: usize) -> (Executor, usize) {
    (Executor::SingleThread, 1)
}

/// tract is not ours; should it panic on a hostile graph, it costs this model and nothing else.
fn caught<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T> {
    let result = catch_unwind(AssertUnwindSafe(work));
    result.unwrap_or_else(|_| Err(TractError::msg("it gave up"))).map_err(cannot_run)
}

fn anyhow_shape(shape: &[usize]) -> TractError {
    TractError::msg(format!("its output has shape {shape:?}, expected [N, tokens, width]"))
}

fn cannot_run(error: TractError) -> Error {
    Error::new(ErrorKind::Model, format!("tract cannot run this graph: {error:#}"))
        .hint("export the encoder alone, pixel_values [N,3,S,S] in and last_hidden_state out, at a fixed size")
}
