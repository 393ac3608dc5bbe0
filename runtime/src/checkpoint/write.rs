//! From [`EncoderWeights`] to a folder that transformers loads: config.json, model.safetensors with the published
//! names, preprocessor_config.json.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;

use super::names::{Layout, Part};
use super::{BlockWeights, DType, EncoderWeights, FeedForward};
use crate::error::{Error, ErrorKind, Result};
use crate::output::write;
use crate::preprocess::Preprocessing;

impl EncoderWeights {
    /// Writes the folder `dir` (made if it is absent), each file whole or not at all, weights rounded to `dtype`.
    pub fn write(&self, dir: &Path, preprocessing: &Preprocessing, dtype: DType) -> Result<()> {
        self.check()?;
        fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        let tensors: Vec<Stored> = self.tensors();
        write_safetensors(&dir.join("model.safetensors"), &tensors, dtype)?;
        let preprocessor = preprocessing.to_json();
        write::atomic(&dir.join("preprocessor_config.json"), |w| w.write_all(preprocessor.as_bytes()))?;
        let config = self.config.to_json(dtype);
        write::atomic(&dir.join("config.json"), |w| w.write_all(config.as_bytes()))
    }

    fn tensors(&self) -> Vec<Stored<'_>> {
        let layout = Layout::HuggingFace;
        let names = layout.embeddings();
        let (d, p) = (self.config.hidden_size, self.config.patch_size);
        let rows = self.config.grid() * self.config.grid() + 1;
        let mut tensors = vec![
            Stored::new(names.cls_token, &[1, 1, d], &self.cls_token),
            Stored::new(names.mask_token, &[1, d], &self.mask_token),
            Stored::new(names.position_embeddings, &[1, rows, d], &self.position_embeddings),
            Stored::new(names.patch_weight, &[d, 3, p, p], &self.patch_weight),
            Stored::new(names.patch_bias, &[d], &self.patch_bias),
            Stored::new(names.norm_weight, &[d], &self.norm_weight),
            Stored::new(names.norm_bias, &[d], &self.norm_bias),
        ];
        if self.config.model_type == super::config::DINOV2_WITH_REGISTERS {
            let shape = [1, self.config.num_register_tokens, d];
            tensors.push(Stored::new(names.register_tokens, &shape, &self.register_tokens));
        }
        for (i, block) in self.blocks.iter().enumerate() {
            self.block(layout, i, block, &mut tensors);
        }
        tensors
    }

    fn block<'a>(&'a self, layout: Layout, i: usize, block: &'a BlockWeights, tensors: &mut Vec<Stored<'a>>) {
        let (d, f) = (self.config.hidden_size, self.config.mlp_dim());
        let prefix = layout.block(i);
        let mut push = |part: Part, suffix: &str, shape: &[usize], values: &'a [f32]| {
            let part = layout.part(part).first().copied().unwrap_or_default();
            tensors.push(Stored::new(&format!("{prefix}.{part}{suffix}"), shape, values));
        };
        push(Part::Norm1, ".weight", &[d], &block.norm1_weight);
        push(Part::Norm1, ".bias", &[d], &block.norm1_bias);
        let projections = [
            (Part::Query, &block.query_weight, &block.query_bias),
            (Part::Key, &block.key_weight, &block.key_bias),
            (Part::Value, &block.value_weight, &block.value_bias),
        ];
        for (part, weight, bias) in projections {
            push(part, ".weight", &[d, d], weight);
            if self.config.qkv_bias {
                push(part, ".bias", &[d], bias);
            }
        }
        push(Part::Output, ".weight", &[d, d], &block.output_weight);
        push(Part::Output, ".bias", &[d], &block.output_bias);
        push(Part::LayerScale1, "", &[d], &block.layer_scale1);
        push(Part::Norm2, ".weight", &[d], &block.norm2_weight);
        push(Part::Norm2, ".bias", &[d], &block.norm2_bias);
        match &block.feed_forward {
            FeedForward::Mlp { fc1_weight, fc1_bias, fc2_weight, fc2_bias } => {
                push(Part::Fc1, ".weight", &[f, d], fc1_weight);
                push(Part::Fc1, ".bias", &[f], fc1_bias);
                push(Part::Fc2, ".weight", &[d, f], fc2_weight);
                push(Part::Fc2, ".bias", &[d], fc2_bias);
            }
            FeedForward::SwiGlu { in_weight, in_bias, out_weight, out_bias } => {
                push(Part::SwiGluIn, ".weight", &[2 * f, d], in_weight);
                push(Part::SwiGluIn, ".bias", &[2 * f], in_bias);
                push(Part::SwiGluOut, ".weight", &[d, f], out_weight);
                push(Part::SwiGluOut, ".bias", &[d], out_bias);
            }
        }
        push(Part::LayerScale2, "", &[d], &block.layer_scale2);
    }
}

/// A tensor about to be written.
pub(super) struct Stored<'a> {
    name: String,
    shape: Vec<usize>,
    values: &'a [f32],
}

impl<'a> Stored<'a> {
    pub fn new(name: &str, shape: &[usize], values: &'a [f32]) -> Self {
        Stored { name: name.to_owned(), shape: shape.to_vec(), values }
    }

    #[cfg(test)]
    pub fn is(&self, name: &str) -> bool {
        self.name == name
    }
}

/// Writes a safetensors file, whole or not at all. A value that `dtype` cannot hold is an error that names the tensor.
pub(super) fn write_safetensors(path: &Path, tensors: &[Stored<'_>], dtype: DType) -> Result<()> {
    let mut encoded = Vec::with_capacity(tensors.len());
    for tensor in tensors {
        let bytes = dtype.encode(tensor.values);
        if dtype.decode(&bytes).iter().any(|value| !value.is_finite()) {
            let message = format!("tensor {} does not fit into {}", tensor.name, dtype.torch_name());
            return Err(Error::new(ErrorKind::Checkpoint, message).at(path.display()).hint("write it as float32"));
        }
        encoded.push(bytes);
    }
    let mut views = Vec::with_capacity(tensors.len());
    for (tensor, bytes) in tensors.iter().zip(&encoded) {
        let view = TensorView::new(dtype.safetensors(), tensor.shape.clone(), bytes).map_err(|e| internal(path, e))?;
        views.push((tensor.name.as_str(), view));
    }
    // older transformers refuse a file without this
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| internal(path, e))?;
    write::atomic(path, |w| w.write_all(&bytes))
}

fn internal(path: &Path, error: safetensors::SafeTensorError) -> Error {
    Error::new(ErrorKind::Internal, format!("{}: {error}", path.display())).source(error)
}
