//! The folder `probe` writes: the encoder's own files, and the heads beside them.

use std::fs;
use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::Checkpoint;
use rad_dino_edge::output::write::atomic;
use rad_dino_edge::{Error, ErrorKind, Result};
use serde_json::{Value, json};

use crate::files;

const PREPROCESSOR: &str = "preprocessor_config.json";

/// Copies the encoder in `encoder` to `out` unless it is there already; its weights are taken byte for byte. With
/// `image_size` the preprocessor in `out` is set to that side.
///
/// # Errors
/// When `encoder` is no checkpoint, or when `out` holds another encoder or another image size.
pub fn prepare(encoder: &Path, out: &Path, image_size: Option<usize>) -> Result<()> {
    let checkpoint = Checkpoint::open(encoder)?;
    if let Some(side) = image_size
        && (side == 0 || !side.is_multiple_of(checkpoint.config().patch_size))
    {
        let patch = checkpoint.config().patch_size;
        return Err(Error::new(
            ErrorKind::Usage,
            format!("image size {side} is no multiple of the patch size {patch}"),
        )
        .hint(format!("use --image-size {}", patch * (side / patch).max(1))));
    }
    let there = out.join("config.json").exists();
    if there {
        let present = Checkpoint::open(out)?;
        if present.config() != checkpoint.config() || present.sha256() != checkpoint.sha256() {
            return Err(Error::new(ErrorKind::Usage, format!("{}: holds another encoder", out.display()))
                .hint("give --out a new folder"));
        }
        let side = present.preprocessing().map(|p| p.crop_size);
        if image_size.is_some() && image_size != side {
            let message = format!("{}: holds heads for another image size than --image-size", out.display());
            return Err(Error::new(ErrorKind::Usage, message).hint("give --out a new folder, or leave --image-size"));
        }
        return Ok(());
    }
    for file in weight_files(encoder)? {
        copy(&encoder.join(&file), &out.join(&file))?;
    }
    let preprocessor = encoder.join(PREPROCESSOR);
    let text = fs::read(&preprocessor)
        .map_err(|e| Error::io(&preprocessor, e).hint("an encoder needs its preprocessor_config.json"))?;
    match image_size {
        None => files::write(&out.join(PREPROCESSOR), &text)?,
        Some(side) => files::write(&out.join(PREPROCESSOR), &resized(&text, side, &checkpoint, &preprocessor)?)?,
    }
    // Last, because its presence says that the encoder is there.
    copy(&encoder.join("config.json"), &out.join("config.json"))
}

/// The files with the weights: one file, or an index and its shards.
fn weight_files(encoder: &Path) -> Result<Vec<PathBuf>> {
    for single in ["model.safetensors", "backbone_compatible.safetensors"] {
        if encoder.join(single).exists() {
            return Ok(vec![single.into()]);
        }
    }
    let index = encoder.join("model.safetensors.index.json");
    let text = fs::read(&index).map_err(|e| Error::io(&index, e))?;
    let refuse = || Error::new(ErrorKind::Checkpoint, format!("{}: not a safetensors index", index.display()));
    let index: Value = serde_json::from_slice(&text).map_err(|e| refuse().source(e))?;
    let map = index.get("weight_map").and_then(Value::as_object).ok_or_else(refuse)?;
    let mut files: Vec<PathBuf> = map.values().filter_map(Value::as_str).map(PathBuf::from).collect();
    files.sort();
    files.dedup();
    files.push("model.safetensors.index.json".into());
    Ok(files)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    }
    let mut source = fs::File::open(from).map_err(|e| Error::io(from, e))?;
    atomic(to, |w| std::io::copy(&mut source, w).map(|_| ()))
}

/// The preprocessor's text with crop and shortest edge scaled to `side`.
fn resized(text: &[u8], side: usize, checkpoint: &Checkpoint, path: &Path) -> Result<Vec<u8>> {
    let refuse = || Error::new(ErrorKind::Checkpoint, format!("{}: not a JSON object", path.display()));
    let scaled = checkpoint.preprocessing().ok_or_else(refuse)?.with_image_size(side);
    let mut json: Value = serde_json::from_slice(text).map_err(|e| refuse().source(e))?;
    let object = json.as_object_mut().ok_or_else(refuse)?;
    object.insert("size".to_owned(), json!({"shortest_edge": scaled.shortest_edge}));
    object.insert("crop_size".to_owned(), json!({"height": side, "width": side}));
    let mut bytes = serde_json::to_vec_pretty(&json).map_err(|e| refuse().source(e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::checkpoint::DType;
    use rad_dino_edge::model::manifest::Architecture;
    use rad_dino_edge::preprocess::Preprocessing;

    use super::*;
    use crate::features::random::{Shape, weights};

    fn encoder(dir: &Path, seed: u64) {
        let architecture = Architecture {
            family: "dinov2".to_owned(),
            image_size: 8,
            patch_size: 4,
            embed_dim: 8,
            depth: 1,
            num_heads: 2,
            mlp_dim: 16,
            num_register_tokens: 0,
        };
        let preprocessing = Preprocessing {
            shortest_edge: 8,
            crop_size: 8,
            rescale_factor: 1.0 / 255.0,
            image_mean: [0.5; 3],
            image_std: [0.25; 3],
        };
        let shape = Shape { seed, ..Shape::of_architecture(&architecture) };
        weights(&shape).unwrap().write(dir, &preprocessing, DType::F16).unwrap();
    }

    #[test]
    fn the_encoder_arrives_byte_for_byte_and_only_once() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, out) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("out"));
        encoder(&a, 1);
        encoder(&b, 2);
        prepare(&a, &out, None).unwrap();
        let bytes = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
        assert_eq!(bytes(&a), bytes(&out));
        prepare(&a, &out, None).unwrap();
        assert_eq!(prepare(&b, &out, None).unwrap_err().kind(), ErrorKind::Usage);
        assert!(prepare(&a, &out, Some(12)).is_err(), "heads for 8 pixels are there");
    }

    #[test]
    fn another_image_size_goes_into_the_preprocessor() {
        let dir = tempfile::tempdir().unwrap();
        let (a, out) = (dir.path().join("a"), dir.path().join("out"));
        encoder(&a, 1);
        prepare(&a, &out, Some(12)).unwrap();
        let preprocessing = Checkpoint::open(&out).unwrap().preprocessing().cloned().unwrap();
        assert_eq!((preprocessing.crop_size, preprocessing.shortest_edge), (12, 12));
        assert_eq!(preprocessing.image_std, [0.25; 3]);
        let error = prepare(&a, &dir.path().join("other"), Some(13)).unwrap_err();
        assert!(error.remedy().unwrap().contains("--image-size 12"), "{error}");
    }
}
