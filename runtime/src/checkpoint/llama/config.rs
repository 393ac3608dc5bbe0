//! `config.json` of a Llama-architecture decoder.

use serde_json::{Value, json};

use super::super::config::{Keys, bounded, refuse};
use super::Rope;
use crate::error::Result;

/// The keys of `config.json` that shape the network; unknown keys are ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct LlamaConfig {
    /// V
    pub vocab_size: usize,
    /// D
    pub hidden_size: usize,
    /// F, the feed-forward width.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// H
    pub num_attention_heads: usize,
    /// KV; divides H.
    pub num_key_value_heads: usize,
    /// hd, even.
    pub head_dim: usize,
    /// ε of every RMSNorm.
    pub rms_norm_eps: f64,
    /// Rotary positions.
    pub rope: Rope,
    /// Whether the output layer is the embedding table.
    pub tie_word_embeddings: bool,
    /// Whether q, k, v and the output projection have biases.
    pub attention_bias: bool,
    /// Whether the feed-forward layers have biases.
    pub mlp_bias: bool,
    /// Positions the decoder was made for.
    pub max_position_embeddings: usize,
    /// First token, if any.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text.
    pub eos_token_ids: Vec<u32>,
}

impl LlamaConfig {
    /// Parses the text of a `config.json`; missing keys take the defaults of transformers' `LlamaConfig`.
    ///
    /// # Errors
    /// Names the key that would make another network.
    pub fn from_json(text: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(text)
            .map_err(|e| refuse("not valid JSON").hint("restore the file from where the checkpoint came").source(e))?;
        let keys = Keys(&value);
        if keys.text("model_type")?.is_some_and(|kind| kind != "llama") {
            return Err(refuse("model_type must be \"llama\"").hint("other decoders are not read"));
        }
        if keys.text("hidden_act")?.is_some_and(|act| act != "silu" && act != "swish") {
            return Err(refuse("hidden_act must be \"silu\""));
        }
        let heads = keys.integer("num_attention_heads", 32)?;
        let hidden_size = keys.integer("hidden_size", 4096)?;
        let head_dim = keys.integer("head_dim", hidden_size.checked_div(heads).unwrap_or(0))?;
        let config = LlamaConfig {
            vocab_size: keys.integer("vocab_size", 32_000)?,
            hidden_size,
            intermediate_size: keys.integer("intermediate_size", 11_008)?,
            num_hidden_layers: keys.integer("num_hidden_layers", 32)?,
            num_attention_heads: heads,
            num_key_value_heads: keys.integer("num_key_value_heads", heads)?,
            head_dim,
            rms_norm_eps: keys.number("rms_norm_eps", 1e-6)?,
            rope: Rope::from_config(&value)?,
            tie_word_embeddings: keys.flag("tie_word_embeddings", false)?,
            attention_bias: keys.flag("attention_bias", false)?,
            mlp_bias: keys.flag("mlp_bias", false)?,
            max_position_embeddings: keys.integer("max_position_embeddings", 2048)?,
            bos_token_id: tokens(&value, "bos_token_id")?.first().copied(),
            eos_token_ids: tokens(&value, "eos_token_id")?,
        };
        config.check()?;
        Ok(config)
    }

    /// Refuses sizes that make no network.
    ///
    /// # Errors
    /// Names the key.
    pub fn check(&self) -> Result<()> {
        bounded("vocab_size", self.vocab_size, 1, 1 << 20)?;
        bounded("hidden_size", self.hidden_size, 1, 16_384)?;
        bounded("intermediate_size", self.intermediate_size, 1, 1 << 17)?;
        bounded("num_hidden_layers", self.num_hidden_layers, 1, 512)?;
        bounded("num_attention_heads", self.num_attention_heads, 1, 1_024)?;
        bounded("num_key_value_heads", self.num_key_value_heads, 1, self.num_attention_heads)?;
        bounded("head_dim", self.head_dim, 2, 1_024)?;
        bounded("max_position_embeddings", self.max_position_embeddings, 1, 1 << 24)?;
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err(refuse("num_key_value_heads must divide num_attention_heads"));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(refuse("head_dim must be even"));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps > 0.0) {
            return Err(refuse("rms_norm_eps must be positive"));
        }
        match self.eos_token_ids.iter().chain(&self.bos_token_id).find(|id| **id as usize >= self.vocab_size) {
            Some(id) => Err(refuse(format!("token {id} is beyond vocab_size {}", self.vocab_size))),
            None => Ok(()),
        }
    }

    /// Takes the end tokens of a `generation_config.json`, which has the last word.
    ///
    /// # Errors
    /// When it is not JSON or a token is no number of the vocabulary.
    pub fn take_generation(&mut self, text: &str) -> Result<()> {
        let value: Value = serde_json::from_str(text).map_err(|e| refuse("not valid JSON").source(e))?;
        if value.get("eos_token_id").is_some_and(|v| !v.is_null()) {
            self.eos_token_ids = tokens(&value, "eos_token_id")?;
        }
        self.check()
    }

    /// The text of a `config.json` that transformers reads as `LlamaForCausalLM`.
    pub fn to_json(&self) -> String {
        let eos = match self.eos_token_ids[..] {
            [one] => json!(one),
            _ => json!(self.eos_token_ids),
        };
        let value = json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "num_key_value_heads": self.num_key_value_heads,
            "head_dim": self.head_dim,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope.theta(),
            "rope_scaling": self.rope.scaling(),
            "tie_word_embeddings": self.tie_word_embeddings,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
            "max_position_embeddings": self.max_position_embeddings,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": eos,
            "torch_dtype": "float32",
        });
        format!("{value:#}\n")
    }
}

/// A token, a list of tokens, or nothing.
fn tokens(value: &Value, key: &str) -> Result<Vec<u32>> {
    let token = |value: &Value| {
        let token = value.as_u64().and_then(|n| u32::try_from(n).ok());
        token.ok_or_else(|| refuse(format!("{key} must be a token's number")))
    };
    match value.get(key) {
        None | Some(Value::Null) => Ok(vec![]),
        Some(Value::Array(list)) => list.iter().take(1_024).map(token).collect(),
        Some(one) => Ok(vec![token(one)?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_another_network_is_refused_by_name() {
        for (json, key) in [
            (r#"{"model_type":"gpt2"}"#, "model_type"),
            (r#"{"hidden_act":"gelu"}"#, "hidden_act"),
            (r#"{"num_attention_heads":4,"num_key_value_heads":3}"#, "num_key_value_heads"),
            (r#"{"hidden_size":12,"num_attention_heads":4}"#, "head_dim"),
            (r#"{"rope_scaling":{"rope_type":"yarn","factor":2.0}}"#, "yarn"),
            (r#"{"vocab_size":10,"eos_token_id":[3,10]}"#, "10"),
        ] {
            let error = LlamaConfig::from_json(json).unwrap_err();
            assert!(error.message().contains(key), "{json}: {error}");
        }
    }

    #[test]
    fn the_generation_file_has_the_last_word_on_ends() {
        let mut config = LlamaConfig::from_json(r#"{"vocab_size":10,"eos_token_id":3}"#).unwrap();
        assert_eq!(config.eos_token_ids, [3]);
        config.take_generation(r#"{"eos_token_id":[4,5]}"#).unwrap();
        assert_eq!(config.eos_token_ids, [4, 5]);
        let again = LlamaConfig::from_json(&config.to_json()).unwrap();
        assert_eq!(again, config);
    }
}
