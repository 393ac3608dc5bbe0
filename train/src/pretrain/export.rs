//! What training leaves: checkpoint folders and head files.

use std::collections::HashMap;
use std::path::Path;

use burn::tensor::backend::Backend;
use rad_dino_edge::checkpoint::{Config as EncoderConfig, DType};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::{Error, ErrorKind, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::files;
use crate::ssl::{HeadWeights, Network};

/// The head on CLS (and on patches, when there is no other), in DINOv2's names.
pub const DINO_HEAD: &str = "dino_head.safetensors";
/// The head on patches.
pub const IBOT_HEAD: &str = "ibot_head.safetensors";
/// No head comes near this.
const MAX_BYTES: u64 = 4 << 30;

/// Writes `network` as a checkpoint folder that transformers loads, its heads beside it.
///
/// # Errors
/// `Io` naming the file; `Checkpoint` when a weight is not finite.
pub fn write<B: Backend>(
    network: &Network<B>,
    config: &EncoderConfig,
    preprocessing: &Preprocessing,
    dir: &Path,
) -> Result<()> {
    network.encoder.to_weights(config)?.write(dir, preprocessing, DType::F32)?;
    write_head(&network.dino_head.to_weights(), &dir.join(DINO_HEAD))?;
    match &network.ibot_head {
        Some(head) => write_head(&head.to_weights(), &dir.join(IBOT_HEAD)),
        None => Ok(()),
    }
}

/// Writes a head: `mlp.{2i}.weight`, `.bias`, `last_layer.weight_g`, `last_layer.weight_v`.
///
/// # Errors
/// `Io` naming the file.
pub fn write_head(head: &HeadWeights, path: &Path) -> Result<()> {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    for (i, (weight, bias)) in head.layers.iter().enumerate() {
        let inputs = weight.len() / bias.len().max(1);
        tensors.push((format!("mlp.{}.weight", 2 * i), vec![bias.len(), inputs], bytes(weight)));
        tensors.push((format!("mlp.{}.bias", 2 * i), vec![bias.len()], bytes(bias)));
    }
    let k = head.count();
    tensors.push(("last_layer.weight_v".to_owned(), vec![k, head.bottleneck()], bytes(&head.prototypes)));
    let gains = head.gains.clone().unwrap_or_else(|| vec![1.0; k]);
    tensors.push(("last_layer.weight_g".to_owned(), vec![k, 1], bytes(&gains)));
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
    // fixed gains are told apart, so that a head read back trains as before
    let fixed = head.gains.is_none().to_string();
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned()), ("fixed_gains".to_owned(), fixed)]);
    let bytes = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    files::write(path, &bytes.map_err(|e| Error::new(ErrorKind::Internal, format!("{}: {e}", path.display())))?)
}

/// Reads a head; None when the file is absent.
///
/// # Errors
/// `Io`, or `Checkpoint` naming the tensor that is missing, misshapen or not f32.
pub fn read_head(path: &Path) -> Result<Option<HeadWeights>> {
    if !path.exists() {
        return Ok(None);
    }
    let size = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    let refuse = |what: String| {
        Error::new(ErrorKind::Checkpoint, format!("{}: {what}", path.display()))
            .hint("restore the file, or remove it and let head.start make a new one")
    };
    if size > MAX_BYTES {
        return Err(refuse(format!("{size} bytes are too many for a head")));
    }
    let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| refuse(format!("not a safetensors file: {e}")))?;
    let fixed = SafeTensors::read_metadata(&bytes)
        .ok()
        .and_then(|(_, metadata)| metadata.metadata().as_ref()?.get("fixed_gains").map(|word| word == "true"))
        .unwrap_or(false);
    let tensor = |name: &str| -> Result<(Vec<usize>, Vec<f32>)> {
        let view = file.tensor(name).map_err(|_| refuse(format!("tensor {name} is missing")))?;
        if view.dtype() != Dtype::F32 {
            return Err(refuse(format!("tensor {name} is not f32")));
        }
        let (chunks, _) = view.data().as_chunks::<4>();
        Ok((view.shape().to_vec(), chunks.iter().map(|b| f32::from_le_bytes(*b)).collect()))
    };
    let mut layers = Vec::new();
    while file.tensor(&format!("mlp.{}.weight", 2 * layers.len())).is_ok() {
        let i = 2 * layers.len();
        layers.push((tensor(&format!("mlp.{i}.weight"))?.1, tensor(&format!("mlp.{i}.bias"))?.1));
    }
    let inputs = match layers.is_empty() {
        true => return Err(refuse("tensor mlp.0.weight is missing".to_owned())),
        false => tensor("mlp.0.weight")?.0.get(1).copied().unwrap_or(0),
    };
    let gains = if fixed { None } else { Some(tensor("last_layer.weight_g")?.1) };
    let head = HeadWeights { inputs, layers, prototypes: tensor("last_layer.weight_v")?.1, gains };
    head.check().map_err(|e| e.at(path.display()))?;
    Ok(Some(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back_and_damage_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(DINO_HEAD);
        assert!(read_head(&path).unwrap().is_none());
        let mut head = HeadWeights::random(6, 10, 4, 3, 8, 1);
        write_head(&head, &path).unwrap();
        assert_eq!(read_head(&path).unwrap().unwrap(), head);
        head.gains = None;
        write_head(&head, &path).unwrap();
        assert_eq!(read_head(&path).unwrap().unwrap(), head);
        head.layers[1] = (vec![0.0; 90], vec![0.0; 9]);
        write_head(&head, &path).unwrap();
        assert!(read_head(&path).unwrap_err().message().contains("layer 2"));
        std::fs::write(&path, b"nothing").unwrap();
        assert_eq!(read_head(&path).unwrap_err().kind(), ErrorKind::Checkpoint);
    }
}
