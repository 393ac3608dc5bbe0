//! Rotary position embedding: which frequencies (transformers' `modeling_rope_utils`).

use serde_json::{Value, json};

use super::super::config::{Keys, refuse};
use crate::error::Result;

/// How positions turn the pairs of a head.
#[derive(Clone, Debug, PartialEq)]
pub enum Rope {
    /// θ^(−2i/hd)
    Default {
        /// θ
        theta: f64,
    },
    /// As the default, all divided by `factor`.
    Linear {
        /// θ
        theta: f64,
        /// Stretch of the positions.
        factor: f64,
    },
    /// Llama 3.1: long waves are divided by `factor`, short ones stay, those between are blended.
    Llama3 {
        /// θ
        theta: f64,
        /// Stretch of the long waves.
        factor: f64,
        /// Waves longer than original / low are long.
        low: f64,
        /// Waves shorter than original / high are short.
        high: f64,
        /// Positions of the training before the stretch.
        original: f64,
    },
}

impl Rope {
    /// From the object of a `config.json`: `rope_theta` and `rope_scaling`, or transformers 5's `rope_parameters`.
    pub(super) fn from_config(config: &Value) -> Result<Self> {
        let empty = Value::Null;
        let get = |key: &str| config.get(key).filter(|v| v.is_object());
        let scaling = get("rope_parameters").or_else(|| get("rope_scaling")).unwrap_or(&empty);
        let keys = Keys(scaling);
        let theta = keys.number("rope_theta", Keys(config).number("rope_theta", 10_000.0)?)?;
        let kind = keys.text("rope_type")?.or(keys.text("type")?).unwrap_or("default");
        let need = |key: &str| {
            let value = keys.number(key, f64::NAN)?;
            match value.is_finite() && value > 0.0 {
                true => Ok(value),
                false => Err(refuse(format!("rope scaling {kind:?} needs a positive {key}"))),
            }
        };
        if !(theta.is_finite() && theta > 0.0) {
            return Err(refuse("rope_theta must be positive"));
        }
        match kind {
            "default" => Ok(Rope::Default { theta }),
            "linear" => Ok(Rope::Linear { theta, factor: need("factor")? }),
            "llama3" => Ok(Rope::Llama3 {
                theta,
                factor: need("factor")?,
                low: need("low_freq_factor")?,
                high: need("high_freq_factor")?,
                original: need("original_max_position_embeddings")?,
            }),
            other => Err(refuse(format!("rope scaling {other:?} is not known"))
                .hint("default, linear and llama3 are; convert the checkpoint to one of them")),
        }
    }

    /// `rope_scaling` of a `config.json`.
    pub(super) fn scaling(&self) -> Value {
        match self {
            Rope::Default { .. } => Value::Null,
            Rope::Linear { factor, .. } => json!({ "rope_type": "linear", "factor": factor }),
            Rope::Llama3 { factor, low, high, original, .. } => json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": original,
            }),
        }
    }

    /// θ
    pub fn theta(&self) -> f64 {
        match self {
            Rope::Default { theta } | Rope::Linear { theta, .. } | Rope::Llama3 { theta, .. } => *theta,
        }
    }

    /// [hd/2]: radians a position for each pair (i, i + hd/2).
    pub fn frequencies(&self, head_dim: usize) -> Vec<f32> {
        let plain = (0..head_dim / 2).map(|i| 1.0 / self.theta().powf(2.0 * i as f64 / head_dim as f64));
        let scaled = plain.map(|frequency| match *self {
            Rope::Default { .. } => frequency,
            Rope::Linear { factor, .. } => frequency / factor,
            Rope::Llama3 { factor, low, high, original, .. } => {
                let wave = 2.0 * std::f64::consts::PI / frequency;
                if wave > original / low {
                    frequency / factor
                } else if wave < original / high {
                    frequency
                } else {
                    let smooth = (original / wave - low) / (high - low);
                    (1.0 - smooth) * frequency / factor + smooth * frequency
                }
            }
        });
        scaled.map(|frequency| frequency as f32).collect()
    }
}
