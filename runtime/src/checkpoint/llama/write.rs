//! From [`Llama`] to a folder that transformers loads.

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};

use super::weights::Named;
use super::{Llama, projector};
use crate::error::{Error, ErrorKind, Result};
use crate::output::write::atomic;

impl Llama {
    /// Writes the folder `dir` (made if it is absent) in f32, each file whole or not at all.
    ///
    /// # Errors
    /// I/O; `Internal` when a tensor does not have its shape.
    pub fn write(&self, dir: &Path) -> Result<()> {
        fs::create_dir_all(dir).map_err(|e| Error::io(dir, e))?;
        safetensors(&dir.join("model.safetensors"), &self.weights.tensors(&self.config))?;
        if let Some((config, projector)) = &self.projector {
            safetensors(&dir.join("projector.safetensors"), &projector.tensors(config))?;
            let mut config = config.clone();
            projector::SCHEMA.clone_into(&mut config.schema);
            let json = serde_json::to_string_pretty(&config)
                .map_err(|e| Error::new(ErrorKind::Internal, "report.json").source(e))?;
            atomic(&dir.join("report.json"), |w| w.write_all(json.as_bytes()))?;
        }
        if let Some(tokenizer) = &self.tokenizer {
            atomic(&dir.join("tokenizer.json"), |w| w.write_all(tokenizer.as_bytes()))?;
        }
        let config = self.config.to_json();
        atomic(&dir.join("config.json"), |w| w.write_all(config.as_bytes()))
    }
}

fn safetensors(path: &Path, tensors: &[Named<'_>]) -> Result<()> {
    let internal = |e: ::safetensors::SafeTensorError| {
        Error::new(ErrorKind::Internal, format!("{}: {e}", path.display())).source(e)
    };
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|t| t.2.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(internal)?))
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    // transformers wants to know who wrote the tensors
    let metadata = Some([("format".to_owned(), "pt".to_owned())].into());
    let file = ::safetensors::serialize(views, metadata).map_err(internal)?;
    atomic(path, |w| w.write_all(&file))
}
