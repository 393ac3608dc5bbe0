//! `config.json` of a checkpoint folder.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::DType;
use crate::error::{Error, ErrorKind, Result};

/// The keys of `config.json` that shape the network; unknown keys are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// `dinov2` or `dinov2_with_registers`.
    pub model_type: String,
    /// D.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Feed-forward width / D.
    pub mlp_ratio: f64,
    /// Side of the stored position grid × patch_size, pixels.
    pub image_size: usize,
    /// Patch side, pixels.
    pub patch_size: usize,
    /// LayerNorm ε.
    pub layer_norm_eps: f64,
    /// Whether q, k, v have biases.
    pub qkv_bias: bool,
    /// SwiGLU instead of GELU MLP.
    pub use_swiglu_ffn: bool,
    /// R; 0 for `dinov2`.
    pub num_register_tokens: usize,
}

/// The plain family.
pub const DINOV2: &str = "dinov2";
/// The family with register tokens.
pub const DINOV2_WITH_REGISTERS: &str = "dinov2_with_registers";

const MAX_WIDTH: usize = 16_384;
const MAX_LAYERS: usize = 512;
const MAX_SIDE: usize = 16_384;
const MAX_GRID: usize = 512;
const MAX_REGISTERS: usize = 1_024;
const MAX_FEED_FORWARD: usize = 1 << 18;

impl Config {
    /// Reads `dir/config.json`. Errors name the file and the key.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("config.json");
        let text = super::read_text(&path)?;
        Self::from_json(&text).map_err(|e| e.at(path.display()))
    }

    /// Parses the text of a `config.json`. Missing keys take the defaults of transformers' `Dinov2Config` and
    /// `Dinov2WithRegistersConfig`; what would make another network than these two is an error that names the key.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| refuse("not valid JSON").hint("restore the file from where the checkpoint came").source(e))?;
        let keys = Keys(&value);
        if !value.is_object() {
            return Err(refuse("not a JSON object"));
        }
        let model_type = keys.model_type()?;
        let registers = model_type == DINOV2_WITH_REGISTERS;
        if keys.text("hidden_act")?.is_some_and(|act| act != "gelu") {
            return Err(refuse("hidden_act must be \"gelu\""));
        }
        if keys.integer("num_channels", 3)? != 3 {
            return Err(refuse("num_channels must be 3"));
        }
        let config = Config {
            model_type,
            hidden_size: keys.integer("hidden_size", 768)?,
            num_hidden_layers: keys.integer("num_hidden_layers", 12)?,
            num_attention_heads: keys.integer("num_attention_heads", 12)?,
            mlp_ratio: keys.number("mlp_ratio", 4.0)?,
            image_size: keys.side("image_size", 224)?,
            patch_size: keys.side("patch_size", if registers { 16 } else { 14 })?,
            layer_norm_eps: keys.number("layer_norm_eps", 1e-6)?,
            qkv_bias: keys.flag("qkv_bias", true)?,
            use_swiglu_ffn: keys.flag("use_swiglu_ffn", false)?,
            num_register_tokens: if registers { keys.integer("num_register_tokens", 4)? } else { 0 },
        };
        config.check()?;
        Ok(config)
    }

    /// Checks that every size is in the range this code computes with, and that they fit each other.
    pub fn check(&self) -> Result<()> {
        if self.model_type != DINOV2 && self.model_type != DINOV2_WITH_REGISTERS {
            return Err(refuse(format!("model_type is {:?}", self.model_type))
                .hint("this build reads dinov2 and dinov2_with_registers"));
        }
        bounded("hidden_size", self.hidden_size, 1, MAX_WIDTH)?;
        bounded("num_hidden_layers", self.num_hidden_layers, 1, MAX_LAYERS)?;
        bounded("num_attention_heads", self.num_attention_heads, 1, MAX_WIDTH)?;
        bounded("patch_size", self.patch_size, 1, MAX_SIDE)?;
        bounded("image_size", self.image_size, self.patch_size, MAX_SIDE)?;
        bounded("image_size / patch_size", self.grid(), 1, MAX_GRID)?;
        bounded("num_register_tokens", self.num_register_tokens, 0, MAX_REGISTERS)?;
        if !self.hidden_size.is_multiple_of(self.num_attention_heads) {
            return Err(refuse(format!(
                "num_attention_heads {} does not divide hidden_size {}",
                self.num_attention_heads, self.hidden_size
            )));
        }
        if self.model_type == DINOV2 && self.num_register_tokens != 0 {
            return Err(refuse("num_register_tokens must be 0 for model_type dinov2"));
        }
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0) {
            return Err(refuse(format!("mlp_ratio {} is not in (0, 64]", self.mlp_ratio)));
        }
        bounded("hidden_size × mlp_ratio", self.mlp_dim(), 1, MAX_FEED_FORWARD)?;
        if !(self.layer_norm_eps > 0.0 && self.layer_norm_eps < 1.0) {
            return Err(refuse(format!("layer_norm_eps {} is not in (0, 1)", self.layer_norm_eps)));
        }
        Ok(())
    }

    /// G: side of the stored position grid, in patches.
    pub fn grid(&self) -> usize {
        self.image_size.checked_div(self.patch_size).unwrap_or(0)
    }

    /// F: hidden width of the feed-forward layer. D · mlp_ratio; with SwiGLU two thirds of it, rounded up to 8.
    pub fn mlp_dim(&self) -> usize {
        let hidden = (self.hidden_size as f64 * self.mlp_ratio) as usize;
        if self.use_swiglu_ffn { ((hidden as f64 * 2.0 / 3.0) as usize).saturating_add(7) / 8 * 8 } else { hidden }
    }

    /// The class transformers loads it with.
    pub fn architecture(&self) -> &'static str {
        if self.model_type == DINOV2_WITH_REGISTERS { "Dinov2WithRegistersModel" } else { "Dinov2Model" }
    }

    /// The text of a `config.json` that transformers reads. `dtype` is what the weights are stored in.
    pub fn to_json(&self, dtype: DType) -> String {
        // transformers declares mlp_ratio as an integer and refuses 4.0
        let ratio = self.mlp_ratio;
        let mlp_ratio = if ratio.fract() == 0.0 { json!(ratio as u64) } else { json!(ratio) };
        let mut value = json!({
            "apply_layernorm": true,
            "architectures": [self.architecture()],
            "attention_probs_dropout_prob": 0.0,
            "drop_path_rate": 0.0,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.0,
            "hidden_size": self.hidden_size,
            "image_size": self.image_size,
            "initializer_range": 0.02,
            "layer_norm_eps": self.layer_norm_eps,
            "layerscale_value": 1.0,
            "mlp_ratio": mlp_ratio,
            "model_type": self.model_type,
            "num_attention_heads": self.num_attention_heads,
            "num_channels": 3,
            "num_hidden_layers": self.num_hidden_layers,
            "patch_size": self.patch_size,
            "qkv_bias": self.qkv_bias,
            "reshape_hidden_states": true,
            "torch_dtype": dtype.torch_name(),
            "use_swiglu_ffn": self.use_swiglu_ffn,
        });
        if self.model_type == DINOV2_WITH_REGISTERS {
            value["num_register_tokens"] = json!(self.num_register_tokens);
        }
        format!("{value:#}\n")
    }
}

/// `use_mask_token` of a `config.json` that [`Config::from_json`] has accepted: whether the file holds a mask token.
pub(super) fn uses_mask_token(text: &str) -> bool {
    let value: Option<Value> = serde_json::from_str(text).ok();
    value.and_then(|value| value.get("use_mask_token").and_then(Value::as_bool)).unwrap_or(true)
}

/// The object of a `config.json`; null counts as missing, as in transformers.
pub(super) struct Keys<'a>(pub(super) &'a Value);

impl<'a> Keys<'a> {
    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn integer(&self, key: &str, default: usize) -> Result<usize> {
        let Some(value) = self.get(key) else { return Ok(default) };
        let number = value.as_u64().and_then(|n| usize::try_from(n).ok());
        number.ok_or_else(|| refuse(format!("{key} must be a whole number, is {}", brief(value))))
    }

    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_f64().ok_or_else(|| refuse(format!("{key} must be a number, is {}", brief(value))))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let Some(value) = self.get(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| refuse(format!("{key} must be true or false, is {}", brief(value))))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| refuse(format!("{key} must be a string, is {}", brief(value))))
    }

    /// A side in pixels: n or [n, n].
    fn side(&self, key: &str, default: usize) -> Result<usize> {
        match self.get(key) {
            Some(Value::Array(sides)) => match sides.as_slice() {
                [height, width] if height == width && height.is_u64() => {
                    Keys(&json!({ key: height.clone() })).integer(key, default)
                }
                _ => Err(refuse(format!("{key} must be one number or two equal ones"))
                    .hint("only square images and patches are supported")),
            },
            _ => self.integer(key, default),
        }
    }

    fn model_type(&self) -> Result<String> {
        if let Some(name) = self.text("model_type")? {
            return Ok(name.to_owned());
        }
        match self.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str) {
            Some("Dinov2Model") => Ok(DINOV2.to_owned()),
            Some("Dinov2WithRegistersModel") => Ok(DINOV2_WITH_REGISTERS.to_owned()),
            _ => Err(refuse("model_type is missing").hint("this build reads dinov2 and dinov2_with_registers")),
        }
    }
}

fn brief(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() > 40 { text.chars().take(40).chain(['…']).collect() } else { text }
}

pub(super) fn bounded(key: &str, value: usize, low: usize, high: usize) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(refuse(format!("{key} is {value}, must be {low} to {high}")))
}

pub(super) fn refuse(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Checkpoint, message)
        .hint("restore the file from where the checkpoint came; other architectures are not read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_keys_take_the_defaults_of_transformers() {
        let plain = Config::from_json(r#"{"model_type":"dinov2","later_key":{"x":1}}"#).unwrap();
        assert_eq!((plain.hidden_size, plain.num_hidden_layers, plain.num_attention_heads), (768, 12, 12));
        assert_eq!((plain.image_size, plain.patch_size, plain.num_register_tokens), (224, 14, 0));
        assert_eq!((plain.mlp_ratio, plain.layer_norm_eps, plain.qkv_bias), (4.0, 1e-6, true));
        let registers = Config::from_json(r#"{"model_type":"dinov2_with_registers"}"#).unwrap();
        assert_eq!((registers.patch_size, registers.num_register_tokens), (16, 4));
        let unnamed = Config::from_json(r#"{"architectures":["Dinov2Model"]}"#).unwrap();
        assert_eq!(unnamed.model_type, "dinov2");
    }

    #[test]
    fn both_spellings_of_numbers_are_read() {
        let text = r#"{"model_type":"dinov2","mlp_ratio":2.5,"image_size":[70,70],"patch_size":[14,14],
                       "hidden_size":60,"num_attention_heads":5,"num_channels":null}"#;
        let config = Config::from_json(text).unwrap();
        assert_eq!((config.mlp_dim(), config.grid()), (150, 5));
        let again = Config::from_json(&config.to_json(DType::F16)).unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn swiglu_width_is_two_thirds_rounded_up_to_eight() {
        let text = r#"{"model_type":"dinov2","hidden_size":48,"num_attention_heads":3,"use_swiglu_ffn":true}"#;
        assert_eq!(Config::from_json(text).unwrap().mlp_dim(), 128);
        let text = r#"{"model_type":"dinov2","hidden_size":1536,"num_attention_heads":24,"use_swiglu_ffn":true}"#;
        assert_eq!(Config::from_json(text).unwrap().mlp_dim(), 4096);
    }

    #[test]
    fn what_makes_another_network_is_refused_by_name() {
        let cases = [
            (r#"{"hidden_act":"gelu_new"}"#, "hidden_act"),
            (r#"{"num_channels":1}"#, "num_channels"),
            (r#"{"hidden_size":100,"num_attention_heads":3}"#, "num_attention_heads"),
            (r#"{"hidden_size":18446744073709551615}"#, "hidden_size"),
            (r#"{"hidden_size":-4}"#, "hidden_size"),
            (r#"{"hidden_size":0}"#, "hidden_size"),
            (r#"{"num_hidden_layers":100000}"#, "num_hidden_layers"),
            (r#"{"image_size":[70,84]}"#, "image_size"),
            (r#"{"image_size":7}"#, "image_size"),
            (r#"{"patch_size":0}"#, "patch_size"),
            (r#"{"mlp_ratio":0}"#, "mlp_ratio"),
            (r#"{"mlp_ratio":1e300}"#, "mlp_ratio"),
            (r#"{"mlp_ratio":"4"}"#, "mlp_ratio"),
            (r#"{"layer_norm_eps":0}"#, "layer_norm_eps"),
            (r#"{"qkv_bias":"yes"}"#, "qkv_bias"),
            (r#"{"model_type":"dinov3_vit"}"#, "model_type"),
        ];
        for (text, key) in cases {
            let mut value: Value = serde_json::from_str(text).unwrap();
            if value.get("model_type").is_none() {
                value["model_type"] = json!("dinov2");
            }
            let error = Config::from_json(&value.to_string()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Checkpoint, "{text}");
            assert!(error.message().contains(key), "{text}: {error}");
        }
        for text in ["", "[]", "3", "{", r#"{"hidden_size":4}"#] {
            assert_eq!(Config::from_json(text).unwrap_err().kind(), ErrorKind::Checkpoint, "{text}");
        }
    }
}
