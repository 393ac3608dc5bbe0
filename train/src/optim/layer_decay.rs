//! Lower layers learn slower.

/// r^(depth + 1 − id): embeddings have id 0, block i has i + 1, the final norm depth + 1. `name` is a parameter's path
/// inside the encoder.
pub fn factor(name: &str, depth: usize, rate: f64) -> f64 {
    let id = match name.strip_prefix("blocks.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok()) {
        Some(block) => block + 1,
        None if name.starts_with("norm.") => depth + 1,
        None => 0,
    };
    rate.powi(depth as i32 + 1 - id as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_run_from_embeddings_to_the_final_norm() {
        let power = |name| (factor(name, 12, 0.5).log2().round()) as i32;
        assert_eq!(power("cls_token"), -13);
        assert_eq!(power("patch_embed.projection.weight"), -13);
        assert_eq!(power("position_embeddings"), -13);
        assert_eq!(power("blocks.0.norm1.gamma"), -12);
        assert_eq!(power("blocks.11.attention.qkv.weight"), -1);
        assert_eq!(power("norm.gamma"), 0);
    }
}
