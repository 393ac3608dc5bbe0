//! The probes: small heads on CLS ‖ mean of the patch tokens, and the segmentation head.

use rad_dino_kernels::{Epilogue, PackedF32};

use super::context::Context;
use super::segmentation::Segmentation;
use crate::model::manifest::Heads as Names;

/// One head: h = relu(f·U + c), output = (f ‖ h)·W + b.
#[derive(Debug)]
pub struct Head {
    /// `findings`, `sex`, `age` or `view`.
    pub name: String,
    /// 2D → H
    pub hidden: Option<PackedF32>,
    /// 2D + H → K
    pub readout: PackedF32,
}

/// All heads of a model.
#[derive(Debug)]
pub struct Heads {
    /// In output order.
    pub heads: Vec<Head>,
    /// The last output.
    pub segmentation: Option<Segmentation>,
    /// 1+R
    pub prefix_tokens: usize,
    /// D
    pub width: usize,
}

impl Heads {
    /// Names and shapes (without the batch) of the graph's outputs, in order.
    pub fn outputs(&self) -> Vec<(&'static str, Vec<usize>)> {
        let heads = self.heads.iter().map(|head| (Names::output_name(&head.name), vec![head.readout.n()]));
        let segmentation = self
            .segmentation
            .iter()
            .map(|head| (Names::output_name("segmentation"), vec![head.channels, head.side(), head.side()]));
        heads.chain(segmentation).collect()
    }

    /// CLS ‖ mean of patches, [2D], of one image's tokens [T, D]. Sums run over the patches in order.
    pub fn features(tokens: &[f32], prefix_tokens: usize, width: usize) -> Vec<f32> {
        let mut features = vec![0.0; 2 * width];
        let (cls, mean) = features.split_at_mut(width);
        cls.copy_from_slice(&tokens[..width]);
        let patches = &tokens[prefix_tokens * width..];
        for patch in patches.chunks_exact(width) {
            for (sum, x) in mean.iter_mut().zip(patch) {
                *sum += x;
            }
        }
        let count = (patches.len() / width).max(1) as f32;
        for x in mean {
            *x /= count;
        }
        features
    }

    /// Column `output` of `head` for each patch, with the patch in the place of the mean.
    pub fn evidence(&self, context: &Context, head: &Head, output: usize, tokens: &[f32]) -> Vec<f32> {
        let patches = tokens[self.prefix_tokens * self.width..].chunks_exact(self.width);
        let logits = patches.map(|patch| {
            let features = [&tokens[..self.width], patch].concat();
            head.forward(context, &features).get(output).copied().unwrap_or(0.0)
        });
        logits.collect()
    }

    /// One image's `tokens` [T, D] to `outputs`, one for each of [`Heads::outputs`], of its size.
    pub fn forward(&self, context: &Context, tokens: &[f32], outputs: &mut [&mut [f32]]) {
        let features = Self::features(tokens, self.prefix_tokens, self.width);
        for (head, out) in self.heads.iter().zip(outputs.iter_mut()) {
            out.copy_from_slice(&head.forward(context, &features));
        }
        if let (Some(head), Some(out)) = (&self.segmentation, outputs.last_mut()) {
            head.forward(context, &tokens[self.prefix_tokens * self.width..], out);
        }
    }
}

impl Head {
    /// Output [K] for features [2D].
    pub fn forward(&self, context: &Context, features: &[f32]) -> Vec<f32> {
        let mut inputs = features.to_vec();
        if let Some(hidden) = &self.hidden {
            let mut h = vec![0.0; hidden.n()];
            context.kernels.linear_f32(1, features, features.len(), hidden, &mut h, hidden.n(), Epilogue::Store);
            inputs.extend(h.iter().map(|x| if *x > 0.0 { *x } else { 0.0 }));
        }
        let mut out = vec![0.0; self.readout.n()];
        context.kernels.linear_f32(
            1,
            &inputs,
            inputs.len(),
            &self.readout,
            &mut out,
            self.readout.n(),
            Epilogue::Store,
        );
        out
    }
}
