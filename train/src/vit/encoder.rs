//! The encoder: patches, CLS, registers, positions, blocks, norm.

use burn::module::{Module, Param};
use burn::nn::LayerNorm;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rad_dino_edge::Result;

use super::block::Block;
use super::drop_path::DropPath;
use super::patch_embed::PatchEmbed;
use super::position::PositionGrids;
use super::precision::Precision;

/// A DINOv2 vision transformer, with or without registers, MLP or SwiGLU.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    /// [1, D]
    pub cls_token: Param<Tensor<B, 2>>,
    /// [1, D]; stands for a masked patch.
    pub mask_token: Param<Tensor<B, 2>>,
    /// [R, D], None when R = 0.
    pub register_tokens: Option<Param<Tensor<B, 2>>>,
    /// [1 + G·G, D], row 0 = CLS.
    pub position_embeddings: Param<Tensor<B, 2>>,
    /// Patches to tokens.
    pub patch_embed: PatchEmbed<B>,
    /// In order.
    pub blocks: Vec<Block<B>>,
    /// After the last block.
    pub norm: LayerNorm<B>,
    /// The table at other grids.
    #[module(skip)]
    pub positions: PositionGrids,
    /// Of the matrix products.
    #[module(skip)]
    pub precision: Precision,
}

impl<B: Backend> Encoder<B> {
    /// R: register tokens.
    pub fn registers(&self) -> usize {
        self.register_tokens.as_ref().map_or(0, |tokens| tokens.dims()[0])
    }

    /// Pixels [N, 3, S, S], already normalised, to tokens [N, 1 + R + P, D] after the final norm.
    ///
    /// `masks` [N, P] is 1 where a patch is hidden: its token is replaced by the mask token before positions are
    /// added. `drop_path` is stochastic depth, None for evaluation.
    ///
    /// # Errors
    /// `Usage` when S holds no patch.
    pub fn forward(
        &self,
        pixels: Tensor<B, 4>,
        masks: Option<Tensor<B, 2>>,
        mut drop_path: Option<&mut DropPath>,
    ) -> Result<Tensor<B, 3>> {
        let mut x = self.embed(pixels, masks)?;
        for block in &self.blocks {
            x = block.forward(x, self.precision, drop_path.as_deref_mut());
        }
        Ok(self.norm.forward(x))
    }

    /// What enters the first block: [N, 1 + R + P, D], positions added; `masks` as in [`Encoder::forward`].
    ///
    /// # Errors
    /// `Usage` when S holds no patch.
    pub fn embed(&self, pixels: Tensor<B, 4>, masks: Option<Tensor<B, 2>>) -> Result<Tensor<B, 3>> {
        let [n, _, side, _] = pixels.dims();
        let mut patches = self.patch_embed.forward(pixels, self.precision);
        let [_, count, d] = patches.dims();
        if let Some(masks) = masks {
            let masks: Tensor<B, 3> = masks.unsqueeze_dim(2);
            let seen = masks.clone().neg().add_scalar(1.0);
            patches = patches.mul(seen).add(masks.mul(self.mask_token.val().unsqueeze()));
        }
        let table = self.position_embeddings.val();
        let rows = table.dims()[0];
        let grid = self.positions.resample(table.clone().slice([1..rows, 0..d]), side / self.patch_embed.patch_size)?;
        patches = patches.add(grid.unsqueeze());
        let cls: Tensor<B, 3> = self.cls_token.val().add(table.slice([0..1, 0..d])).unsqueeze();
        let mut tokens = vec![cls.expand([n, 1, d])];
        if let Some(registers) = &self.register_tokens {
            let r = registers.dims()[0];
            tokens.push(registers.val().unsqueeze::<3>().expand([n, r, d]));
        }
        debug_assert_eq!(patches.dims(), [n, count, d]);
        tokens.push(patches);
        Ok(Tensor::cat(tokens, 1))
    }

    /// CLS [N, D] and patch tokens [N, P, D] of what [`Encoder::forward`] gave.
    pub fn split(&self, tokens: Tensor<B, 3>) -> (Tensor<B, 2>, Tensor<B, 3>) {
        let [n, t, d] = tokens.dims();
        let first = 1 + self.registers();
        (tokens.clone().narrow(1, 0, 1).reshape([n, d]), tokens.narrow(1, first, t - first))
    }

    /// Excludes the embeddings and the first `count` blocks from training, if `count` > 0. No gradients flow there, so
    /// a step costs less; the mask token is frozen with the embeddings.
    #[must_use]
    pub fn freeze(mut self, count: usize) -> Self {
        if count == 0 {
            return self;
        }
        self.cls_token = self.cls_token.set_require_grad(false);
        self.mask_token = self.mask_token.set_require_grad(false);
        self.register_tokens = self.register_tokens.map(|tokens| tokens.set_require_grad(false));
        self.position_embeddings = self.position_embeddings.set_require_grad(false);
        self.patch_embed = self.patch_embed.no_grad();
        self.blocks = self
            .blocks
            .into_iter()
            .enumerate()
            .map(|(i, block)| if i < count { block.no_grad() } else { block })
            .collect();
        self
    }
}
