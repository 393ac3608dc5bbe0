//! What the linear layers of a block get, for those who choose their number formats.

use rad_dino_kernels::{Epilogue, HeadShape};

use super::block::{Activation, Block};
use super::context::Context;
use super::scratch::sized;

/// The inputs of a block's linear layers for one image.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerInputs {
    /// [T, D]
    pub qkv: Vec<f32>,
    /// [T, D]
    pub output: Vec<f32>,
    /// [T, D]
    pub fc1: Vec<f32>,
    /// [T, F]
    pub fc2: Vec<f32>,
}

impl Block {
    /// What the linear layers get when the block runs on `x` [T, D], which becomes block(x).
    pub fn trace(&self, context: &Context, x: &mut [f32]) -> LayerInputs {
        let (kernels, width) = (&*context.kernels, self.width());
        let tokens = x.len() / width;
        let shape = HeadShape { tokens, width, head_dim: width / self.heads };
        let mut inputs = LayerInputs::default();
        let mut quantised = super::linear::Quantised::default();
        self.norm1.apply(kernels, x, sized(&mut inputs.qkv, x.len()));
        let output = sized(&mut inputs.output, x.len());
        self.attend_all(context, shape, x, output);
        self.output.apply(kernels, tokens, output, width, &mut quantised, x, Epilogue::Residual);
        let fc1 = sized(&mut inputs.fc1, x.len());
        self.norm2.apply(kernels, x, fc1);
        let mut hidden = vec![0.0; tokens * self.fc1.outputs()];
        let epilogue = if self.activation == Activation::Gelu { Epilogue::Gelu } else { Epilogue::Store };
        self.fc1.apply(kernels, tokens, fc1, width, &mut quantised, &mut hidden, epilogue);
        let ld = self.fc1.outputs();
        if self.activation == Activation::SwiGlu {
            kernels.swiglu(&mut hidden, ld);
        }
        let inner = if self.activation == Activation::SwiGlu { ld / 2 } else { ld };
        self.level(kernels, &mut hidden);
        inputs.fc2 = hidden.chunks_exact(ld).flat_map(|row| &row[..inner]).copied().collect();
        self.fc2.apply(kernels, tokens, &hidden, ld, &mut quantised, x, Epilogue::Residual);
        inputs
    }
}
