//! Which learning rate and weight decay a parameter gets.

use super::layer_decay;

/// What the optimiser applies to one parameter in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// After all multipliers.
    pub learning_rate: f64,
    /// After all multipliers.
    pub weight_decay: f64,
}

/// How the groups are made of the schedules' values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Blocks of the encoder.
    pub depth: usize,
    /// Factor per layer downwards.
    pub layer_decay: f64,
    /// Of the patch embedding, beside its layer's.
    pub patch_embed: f64,
}

/// The schedules' values in one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Of the encoder.
    pub backbone: f64,
    /// Of the heads' layers.
    pub heads: f64,
    /// Of the heads' prototypes.
    pub last_layer: f64,
    /// Before the multiplier.
    pub weight_decay: f64,
}

impl Rules {
    /// The group of the parameter at path `name`. Biases, norms and LayerScale do not decay.
    pub fn group(&self, name: &str, rates: &Rates) -> Group {
        let learning_rate = match name.strip_prefix("encoder.") {
            Some(inner) => {
                let patch = if inner.starts_with("patch_embed.") { self.patch_embed } else { 1.0 };
                rates.backbone * layer_decay::factor(inner, self.depth, self.layer_decay) * patch
            }
            None if name.contains(".last_layer.") => rates.last_layer,
            None if name.contains(".pretrained.") => rates.backbone,
            None => rates.heads,
        };
        Group { learning_rate, weight_decay: if decays(name) { rates.weight_decay } else { 0.0 } }
    }
}

/// Everything but biases, norms and LayerScale.
pub fn decays(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    !(matches!(last, "bias" | "gamma" | "beta" | "lambda") || name.split('.').any(|part| part.starts_with("norm")))
}

/// The part of a path that is clipped on its own: backbone, or one of the heads.
pub fn submodule(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipliers_follow_the_name() {
        let rules = Rules { depth: 2, layer_decay: 0.5, patch_embed: 0.2 };
        let rates = Rates { backbone: 1.0, heads: 3.0, last_layer: 0.0, weight_decay: 0.04 };
        let group = |name| rules.group(name, &rates);
        let is = |name, learning_rate: f64, weight_decay| {
            let group = group(name);
            assert!((group.learning_rate - learning_rate).abs() < 1e-12, "{name}: {group:?}");
            assert_eq!(group.weight_decay, weight_decay, "{name}");
        };
        is("encoder.patch_embed.projection.weight", 0.125 * 0.2, 0.04);
        is("encoder.patch_embed.projection.bias", 0.125 * 0.2, 0.0);
        is("encoder.position_embeddings", 0.125, 0.04);
        is("encoder.blocks.0.attention.qkv.weight", 0.25, 0.04);
        is("encoder.blocks.1.norm2.gamma", 0.5, 0.0);
        is("encoder.blocks.1.layer_scale1.lambda", 0.5, 0.0);
        is("encoder.norm.beta", 1.0, 0.0);
        is("dino_head.mlp.0.weight", 3.0, 0.04);
        is("text.Pretrained.pretrained.blocks.0.fc1.weight", 1.0, 0.04);
        is("ibot_head.last_layer.weight_v", 0.0, 0.04);
        assert_eq!(submodule("ibot_head.last_layer.weight_v"), "ibot_head");
    }
}
