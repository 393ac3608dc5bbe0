//! From the tensors of a file to [`EncoderWeights`], whatever the file called them.

use super::config::DINOV2_WITH_REGISTERS;
use super::names::{Layout, Part, SWIGLU_HALVES};
use super::tensors::Reader;
use super::{BlockWeights, Config, EncoderWeights, FeedForward};
use crate::error::Result;

/// Reads every tensor that `config` asks for; the reader then knows what is left over.
/// `mask_token` says whether the file must hold one (zeros otherwise).
pub(super) fn encoder(
    reader: &mut Reader<'_>,
    config: &Config,
    layout: Layout,
    mask_token: bool,
) -> Result<EncoderWeights> {
    let d = config.hidden_size;
    let p = config.patch_size;
    let r = config.num_register_tokens;
    let rows = config.grid() * config.grid() + 1;
    let registers = config.model_type == DINOV2_WITH_REGISTERS;
    let names = layout.embeddings();
    let mask_token = if mask_token || reader.has(&[names.mask_token]) {
        reader.take(&[names.mask_token], &[1, d])?
    } else {
        vec![0.0; d]
    };
    Ok(EncoderWeights {
        cls_token: reader.take(&[names.cls_token], &[1, 1, d])?,
        mask_token,
        // a file for zero registers may hold the empty tensor or none
        register_tokens: if r > 0 || (registers && reader.has(&[names.register_tokens])) {
            reader.take(&[names.register_tokens], &[1, r, d])?
        } else {
            Vec::new()
        },
        position_embeddings: reader.take(&[names.position_embeddings], &[1, rows, d])?,
        patch_weight: reader.take(&[names.patch_weight], &[d, 3, p, p])?,
        patch_bias: reader.take(&[names.patch_bias], &[d])?,
        blocks: (0..config.num_hidden_layers)
            .map(|i| Block { reader, layout, prefix: layout.block(i) }.read(config))
            .collect::<Result<_>>()?,
        norm_weight: reader.take(&[names.norm_weight], &[d])?,
        norm_bias: reader.take(&[names.norm_bias], &[d])?,
        config: config.clone(),
    })
}

struct Block<'r, 'a> {
    reader: &'r mut Reader<'a>,
    layout: Layout,
    prefix: String,
}

impl Block<'_, '_> {
    fn read(&mut self, config: &Config) -> Result<BlockWeights> {
        let d = config.hidden_size;
        let [query, key, value] = match self.layout {
            Layout::HuggingFace => [
                self.projection(Part::Query, d, config.qkv_bias)?,
                self.projection(Part::Key, d, config.qkv_bias)?,
                self.projection(Part::Value, d, config.qkv_bias)?,
            ],
            Layout::Dinov2 => self.packed_qkv(d, config.qkv_bias)?,
        };
        Ok(BlockWeights {
            norm1_weight: self.take(Part::Norm1, ".weight", &[d])?,
            norm1_bias: self.take(Part::Norm1, ".bias", &[d])?,
            query_weight: query.0,
            query_bias: query.1,
            key_weight: key.0,
            key_bias: key.1,
            value_weight: value.0,
            value_bias: value.1,
            output_weight: self.take(Part::Output, ".weight", &[d, d])?,
            output_bias: self.take(Part::Output, ".bias", &[d])?,
            layer_scale1: self.take(Part::LayerScale1, "", &[d])?,
            norm2_weight: self.take(Part::Norm2, ".weight", &[d])?,
            norm2_bias: self.take(Part::Norm2, ".bias", &[d])?,
            feed_forward: self.feed_forward(config)?,
            layer_scale2: self.take(Part::LayerScale2, "", &[d])?,
        })
    }

    fn feed_forward(&mut self, config: &Config) -> Result<FeedForward> {
        let (d, f) = (config.hidden_size, config.mlp_dim());
        if !config.use_swiglu_ffn {
            return Ok(FeedForward::Mlp {
                fc1_weight: self.take(Part::Fc1, ".weight", &[f, d])?,
                fc1_bias: self.take(Part::Fc1, ".bias", &[f])?,
                fc2_weight: self.take(Part::Fc2, ".weight", &[d, f])?,
                fc2_bias: self.take(Part::Fc2, ".bias", &[d])?,
            });
        }
        let split = self.layout == Layout::HuggingFace && self.reader.has(&[&self.name(SWIGLU_HALVES[0], ".weight")]);
        let (in_weight, in_bias) = if split {
            (self.joined(SWIGLU_HALVES, ".weight", &[f, d])?, self.joined(SWIGLU_HALVES, ".bias", &[f])?)
        } else {
            (self.take(Part::SwiGluIn, ".weight", &[2 * f, d])?, self.take(Part::SwiGluIn, ".bias", &[2 * f])?)
        };
        Ok(FeedForward::SwiGlu {
            in_weight,
            in_bias,
            out_weight: self.take(Part::SwiGluOut, ".weight", &[d, f])?,
            out_bias: self.take(Part::SwiGluOut, ".bias", &[d])?,
        })
    }

    fn projection(&mut self, part: Part, d: usize, bias: bool) -> Result<(Vec<f32>, Vec<f32>)> {
        let weight = self.take(part, ".weight", &[d, d])?;
        Ok((weight, if bias { self.take(part, ".bias", &[d])? } else { vec![0.0; d] }))
    }

    /// Rows 0..D are q, D..2D k, 2D..3D v.
    fn packed_qkv(&mut self, d: usize, bias: bool) -> Result<[(Vec<f32>, Vec<f32>); 3]> {
        let weight = self.take(Part::Query, ".weight", &[3 * d, d])?;
        let bias = if bias { self.take(Part::Query, ".bias", &[3 * d])? } else { vec![0.0; 3 * d] };
        let mut parts = weight.chunks_exact(d * d).zip(bias.chunks_exact(d)).map(|(w, b)| (w.to_vec(), b.to_vec()));
        Ok(std::array::from_fn(|_| parts.next().unwrap_or_default()))
    }

    fn joined(&mut self, halves: [&str; 2], suffix: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut values = Vec::new();
        for half in halves {
            let name = self.name(half, suffix);
            values.extend(self.reader.take(&[&name], shape)?);
        }
        Ok(values)
    }

    fn take(&mut self, part: Part, suffix: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let names: Vec<String> = self.layout.part(part).iter().map(|name| self.name(name, suffix)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.reader.take(&names, shape)
    }

    fn name(&self, part: &str, suffix: &str) -> String {
        format!("{}.{part}{suffix}", self.prefix)
    }
}
