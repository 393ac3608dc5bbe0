//! The probes: small heads on CLS ‖ mean of the patch tokens.

use rad_dino_kernels::{Epilogue, PackedF32};

use super::context::Context;

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

impl Head {
    /// The output's name in the graph.
    pub fn output_name(&self) -> &'static str {
        output_name(&self.name)
    }
}

/// The graph's output name of a head.
pub fn output_name(head: &str) -> &'static str {
    match head {
        "findings" => "findings_logits",
        "sex" => "sex_logits",
        "age" => "age_years",
        "view" => "view_logits",
        _ => "",
    }
}

/// Names of the heads that a model may have, in the order of the graph's outputs.
pub const HEADS: [&str; 4] = ["findings", "sex", "age", "view"];

/// All heads of a model.
#[derive(Debug)]
pub struct Heads {
    /// In output order.
    pub heads: Vec<Head>,
    /// 1+R
    pub prefix_tokens: usize,
    /// D
    pub width: usize,
}

impl Heads {
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

    /// Each head's output [K] for one image's tokens.
    pub fn forward(&self, context: &Context, tokens: &[f32]) -> Vec<Vec<f32>> {
        let features = Self::features(tokens, self.prefix_tokens, self.width);
        self.heads.iter().map(|head| head.forward(context, &features)).collect()
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
