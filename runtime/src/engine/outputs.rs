//! What a run gives back.

use std::time::Duration;

use tract_onnx::prelude::*;

use crate::error::{Error, ErrorKind, Result};

/// A named f32 tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// The graph's name of it.
    pub name: String,
    /// Shape; the first dimension is the batch.
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

impl NamedTensor {
    /// None when it is not f32.
    pub fn from_tract(name: String, tensor: &Tensor) -> Option<Self> {
        let values = tensor.try_as_plain_ram().ok()?.as_slice::<f32>().ok()?.to_vec();
        Some(NamedTensor { name, shape: tensor.shape().to_vec(), values })
    }

    /// Stacks along the batch.
    pub fn append(&mut self, other: NamedTensor) {
        if let (Some(n), Some(m)) = (self.shape.first_mut(), other.shape.first()) {
            *n += m;
            self.values.extend(other.values);
        }
    }
}

/// All outputs of a run over n images.
#[derive(Clone, Debug)]
pub struct Outputs {
    hidden: usize,
    tensors: Vec<NamedTensor>,
    attention: Vec<f32>,
    heads_time: Duration,
}

impl Outputs {
    /// # Errors
    /// When no output is a token sequence [n, tokens, width].
    pub fn new(tensors: Vec<NamedTensor>) -> Result<Self> {
        let named = tensors.iter().position(|t| t.name == "last_hidden_state" && t.shape.len() == 3);
        let hidden = named.or_else(|| tensors.iter().position(|t| t.shape.len() == 3)).ok_or_else(|| {
            Error::new(ErrorKind::Model, "no output of the graph is a token sequence [N, tokens, width]")
                .hint("export last_hidden_state as an output")
        })?;
        Ok(Outputs { hidden, tensors, attention: vec![], heads_time: Duration::ZERO })
    }

    /// The same with what the pass left beside its outputs.
    pub(super) fn with(self, attention: Vec<f32>, heads_time: Duration) -> Self {
        Outputs { attention, heads_time, ..self }
    }

    /// The CLS token's attention to the patches in the last block, mean over heads, [n, P]. Empty for a foreign graph.
    pub fn cls_attention(&self) -> &[f32] {
        &self.attention
    }

    /// How long the heads took; part of the run's time.
    pub fn heads_time(&self) -> Duration {
        self.heads_time
    }

    /// `last_hidden_state` [n, 1+R+P, D], after the final LayerNorm.
    pub fn hidden(&self) -> &[f32] {
        &self.tensors[self.hidden].values
    }

    /// Its shape.
    pub fn hidden_shape(&self) -> &[usize] {
        &self.tensors[self.hidden].shape
    }

    /// # Errors
    /// `Model` when a value is not finite.
    pub fn check_finite(&self) -> Result<()> {
        match self.tensors.iter().find(|tensor| tensor.values.iter().any(|value| !value.is_finite())) {
            None => Ok(()),
            Some(tensor) => Err(Error::not_finite(&format!("its output {}", tensor.name))),
        }
    }

    /// All outputs, in the graph's order.
    pub fn tensors(&self) -> &[NamedTensor] {
        &self.tensors
    }

    /// Shape and values of the output called `name`.
    pub fn get(&self, name: &str) -> Option<(&[usize], &[f32])> {
        self.tensors.iter().find(|t| t.name == name).map(|t| (&t.shape[..], &t.values[..]))
    }
}
