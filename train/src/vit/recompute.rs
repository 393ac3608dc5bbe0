//! The encoder's gradients in the memory of one block: the forward pass keeps what enters each block and nothing of its
//! inside; the backward pass runs each block again, with its graph, the last one first.
//!
//! burn's own balanced checkpointing recomputes element-wise operations only and keeps every matrix product.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use rad_dino_edge::Result;

use super::drop_path::DropPath;
use super::encoder::Encoder;
use crate::optim::parameters::{Flat, add, gradients, trained_names};

/// What the backward pass starts from.
#[derive(Clone, Debug)]
pub struct Tape<B: AutodiffBackend> {
    pixels: Tensor<B::InnerBackend, 4>,
    masks: Option<Tensor<B::InnerBackend, 2>>,
    /// What entered each block that learns, and the draws that followed.
    entered: Vec<(Tensor<B::InnerBackend, 3>, Option<DropPath>)>,
    /// What left the last block; gradients come back to it.
    left: Tensor<B, 3>,
}

impl<B: AutodiffBackend> Encoder<B> {
    /// As [`Encoder::forward`], but the graph of the tokens begins behind the last block; [`Encoder::replay`] goes on
    /// where it ends.
    ///
    /// # Errors
    /// `Usage` when S holds no patch.
    pub fn record(
        &self,
        pixels: Tensor<B, 4>,
        masks: Option<Tensor<B, 2>>,
        mut drop_path: Option<&mut DropPath>,
    ) -> Result<(Tensor<B, 3>, Tape<B>)> {
        let first = self.first_learning();
        // untracked on the same backend, not on the inner one: that fuses operations and rounds differently
        let blind = self.clone().no_grad();
        let mut x = blind.embed(pixels.clone(), masks.clone())?;
        let mut entered = Vec::new();
        for (i, block) in blind.blocks.iter().enumerate() {
            if i >= first {
                entered.push((x.clone().inner(), drop_path.as_deref().cloned()));
            }
            x = block.forward(x, self.precision, drop_path.as_deref_mut());
        }
        let left = Tensor::from_inner(x.inner()).require_grad();
        let tape = Tape { pixels: pixels.inner(), masks: masks.map(Tensor::inner), entered, left: left.clone() };
        Ok((self.norm.forward(left), tape))
    }

    /// Adds the gradients of blocks and embeddings to `sum`, each under `prefix` and its name; `behind` holds those of
    /// the graph behind the last block.
    ///
    /// # Errors
    /// `Usage` when S holds no patch.
    pub fn replay(
        &self,
        tape: Tape<B>,
        behind: &B::Gradients,
        prefix: &str,
        sum: &mut Flat<B::InnerBackend>,
    ) -> Result<()> {
        let Some(mut upstream) = tape.left.grad(behind) else { return Ok(()) };
        let first = self.first_learning();
        for (i, (x, mut drop_path)) in tape.entered.into_iter().enumerate().rev() {
            let block = &self.blocks[first + i];
            let x = Tensor::<B, 3>::from_inner(x).require_grad();
            let y = block.forward(x.clone(), self.precision, drop_path.as_mut());
            let found = pull(y, upstream);
            add(sum, &format!("{prefix}blocks.{}.", first + i), gradients(block, &found));
            let Some(next) = x.grad(&found) else { return Ok(()) };
            upstream = next;
        }
        if self.cls_token.is_require_grad() {
            let x = self.embed(Tensor::from_inner(tape.pixels), tape.masks.map(Tensor::from_inner))?;
            add(sum, prefix, gradients(self, &pull(x, upstream)));
        }
        Ok(())
    }

    /// The first block that learns; the number of blocks when none does.
    fn first_learning(&self) -> usize {
        self.blocks.iter().position(|block| !trained_names(block).is_empty()).unwrap_or(self.blocks.len())
    }
}

/// The gradients of y whose own gradient is `upstream`.
fn pull<B: AutodiffBackend>(y: Tensor<B, 3>, upstream: Tensor<B::InnerBackend, 3>) -> B::Gradients {
    y.mul(Tensor::from_inner(upstream)).sum().backward()
}
