//! What the two file layouts call the encoder's tensors.

/// Naming scheme of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `model.safetensors` of transformers: the published hub names, or those transformers 5 has in memory.
    HuggingFace,
    /// `backbone_compatible.safetensors`: the names of facebookresearch/dinov2, q, k, v in one matrix.
    Dinov2,
}

/// The names outside the blocks.
pub(super) struct EmbeddingNames {
    pub cls_token: &'static str,
    pub mask_token: &'static str,
    pub register_tokens: &'static str,
    pub position_embeddings: &'static str,
    pub patch_weight: &'static str,
    pub patch_bias: &'static str,
    pub norm_weight: &'static str,
    pub norm_bias: &'static str,
}

impl Layout {
    /// Names outside the blocks.
    pub fn embeddings(self) -> EmbeddingNames {
        match self {
            Layout::HuggingFace => EmbeddingNames {
                cls_token: "embeddings.cls_token",
                mask_token: "embeddings.mask_token",
                register_tokens: "embeddings.register_tokens",
                position_embeddings: "embeddings.position_embeddings",
                patch_weight: "embeddings.patch_embeddings.projection.weight",
                patch_bias: "embeddings.patch_embeddings.projection.bias",
                norm_weight: "layernorm.weight",
                norm_bias: "layernorm.bias",
            },
            Layout::Dinov2 => EmbeddingNames {
                cls_token: "cls_token",
                mask_token: "mask_token",
                register_tokens: "register_tokens",
                position_embeddings: "pos_embed",
                patch_weight: "patch_embed.proj.weight",
                patch_bias: "patch_embed.proj.bias",
                norm_weight: "norm.weight",
                norm_bias: "norm.bias",
            },
        }
    }

    /// Prefix of block `i`.
    pub fn block(self, i: usize) -> String {
        match self {
            Layout::HuggingFace => format!("encoder.layer.{i}"),
            Layout::Dinov2 => format!("blocks.{i}"),
        }
    }

    /// Accepted names of a part of a block, the published one first.
    pub fn part(self, part: Part) -> &'static [&'static str] {
        match (self, part) {
            (_, Part::Norm1) => &["norm1"],
            (_, Part::Norm2) => &["norm2"],
            (_, Part::Fc1) => &["mlp.fc1"],
            (_, Part::Fc2) => &["mlp.fc2"],
            (Layout::HuggingFace, Part::Query) => &["attention.attention.query", "attention.q_proj"],
            (Layout::HuggingFace, Part::Key) => &["attention.attention.key", "attention.k_proj"],
            (Layout::HuggingFace, Part::Value) => &["attention.attention.value", "attention.v_proj"],
            (Layout::HuggingFace, Part::Output) => &["attention.output.dense", "attention.o_proj"],
            (Layout::HuggingFace, Part::LayerScale1) => &["layer_scale1.lambda1"],
            (Layout::HuggingFace, Part::LayerScale2) => &["layer_scale2.lambda1"],
            (Layout::HuggingFace, Part::SwiGluIn) => &["mlp.weights_in"],
            (Layout::HuggingFace, Part::SwiGluOut) => &["mlp.weights_out", "mlp.down_proj"],
            (Layout::Dinov2, Part::Query | Part::Key | Part::Value) => &["attn.qkv"],
            (Layout::Dinov2, Part::Output) => &["attn.proj"],
            (Layout::Dinov2, Part::LayerScale1) => &["ls1.gamma"],
            (Layout::Dinov2, Part::LayerScale2) => &["ls2.gamma"],
            (Layout::Dinov2, Part::SwiGluIn) => &["mlp.w12"],
            (Layout::Dinov2, Part::SwiGluOut) => &["mlp.w3"],
        }
    }
}

/// The halves of `mlp.weights_in` as transformers 5 names them in memory: silu is applied to the first.
pub(super) const SWIGLU_HALVES: [&str; 2] = ["mlp.gate_proj", "mlp.up_proj"];

/// Parts of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Norm1,
    Norm2,
    Query,
    Key,
    Value,
    Output,
    LayerScale1,
    LayerScale2,
    Fc1,
    Fc2,
    SwiGluIn,
    SwiGluOut,
}
