//! Features by the runtime's engine: CLS ‖ mean of the patch tokens, and what the model's own heads say.

use std::path::Path;

use rad_dino_edge::checkpoint::{Checkpoint, PositionInterpolation};
use rad_dino_edge::engine::heads::Heads;
use rad_dino_edge::engine::{Engine, Outputs};
use rad_dino_edge::model::manifest;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::Limits;
use rad_dino_edge::{Error, ErrorKind, Result};
use sha2::{Digest, Sha256};

use super::film::prepare;
use super::{FeatureSource, random};

/// An encoder run by the engine. A feature vector is f [2D], followed by the outputs of the heads the model has.
#[derive(Debug)]
pub struct Encoder {
    engine: Engine,
    preprocessing: Preprocessing,
    limits: Limits,
    key: String,
    /// Name in the graph and width of each head's output.
    outputs: Vec<(&'static str, usize)>,
}

impl Encoder {
    /// A model file with its heads.
    ///
    /// # Errors
    /// Whatever the engine refuses; a file without a manifest has no preprocessing and is refused, too.
    pub fn from_model(path: &Path, limits: Limits, threads: usize) -> Result<Self> {
        let engine = Engine::from_file(path, threads)?;
        let heads = engine.manifest().map(|m| m.heads.clone()).unwrap_or_default();
        // The segmentation is a picture, not a row of numbers: see `evaluate::overlaps`.
        let outputs = heads.declared().into_iter().filter(|(name, _)| *name != "segmentation").collect();
        Encoder::new(engine, limits, outputs, "").map_err(|e| e.at(path.display()))
    }

    /// A checkpoint folder; its own heads do not count.
    ///
    /// # Errors
    /// Whatever the engine refuses.
    pub fn from_checkpoint(folder: &Path, image_size: Option<usize>, limits: Limits, threads: usize) -> Result<Self> {
        let config = format!("{:?}", Checkpoint::open(folder)?.config());
        let engine = Engine::from_checkpoint(folder, image_size, threads)?;
        Encoder::new(engine, limits, Vec::new(), &config).map_err(|e| e.at(folder.display()))
    }

    /// An encoder of the same shape and preprocessing with random weights.
    ///
    /// # Errors
    /// When the engine cannot be built.
    pub fn random_like(other: &Encoder, shape: &random::Shape, limits: Limits, threads: usize) -> Result<Self> {
        let weights = random::weights(shape)?;
        let preprocessing = other.preprocessing.clone();
        let engine = Engine::from_weights(
            &weights,
            preprocessing.crop_size,
            PositionInterpolation::Size,
            None,
            Some(preprocessing),
            "random".to_owned(),
            threads,
        )?;
        Encoder::new(engine, limits, Vec::new(), &format!("{shape:?}"))
    }

    fn new(engine: Engine, limits: Limits, outputs: Vec<(&'static str, usize)>, config: &str) -> Result<Self> {
        let preprocessing = engine.preprocessing().cloned().ok_or_else(|| {
            Error::new(ErrorKind::Model, "there is no preprocessing")
                .hint("put the encoder's preprocessor_config.json into the folder; a model file needs its manifest")
        })?;
        let identity = format!(
            "{}\n{}\n{preprocessing:?}\n{config}\n{outputs:?}\n{}",
            env!("CARGO_PKG_VERSION"),
            engine.sha256(),
            engine.shape().image_size
        );
        let key = Sha256::digest(identity.as_bytes()).iter().take(16).map(|b| format!("{b:02x}")).collect();
        Ok(Encoder { engine, preprocessing, limits, key, outputs })
    }

    /// D.
    pub fn dim(&self) -> usize {
        self.engine.shape().embed_dim
    }

    /// Limits on films.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// From films to pixel values.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The engine underneath.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Columns of a head's outputs in a feature vector; None when the model has no such head.
    pub fn columns(&self, head: &str) -> Option<std::ops::Range<usize>> {
        let mut start = 2 * self.dim();
        for (name, width) in &self.outputs {
            if *name == head {
                return Some(start..start + width);
            }
            start += width;
        }
        None
    }
}

impl FeatureSource for Encoder {
    fn key(&self) -> &str {
        &self.key
    }

    fn width(&self) -> usize {
        2 * self.dim() + self.outputs.iter().map(|(_, width)| width).sum::<usize>()
    }

    fn prepare(&self, film: &Path) -> Result<Vec<f32>> {
        prepare(film, &self.limits, &self.preprocessing)
    }

    fn features(&self, prepared: &[f32], n: usize) -> Result<Vec<f32>> {
        self.features_of(&self.engine.run(prepared, n)?, n)
    }
}

impl Encoder {
    /// The features [n, width] in what the engine gave for `n` films.
    ///
    /// # Errors
    /// When the graph lacks an output that the manifest names.
    pub fn features_of(&self, run: &Outputs, n: usize) -> Result<Vec<f32>> {
        let shape = self.engine.shape();
        let tokens = (shape.prefix_tokens + shape.patches) * shape.embed_dim;
        let mut heads = Vec::new();
        for (head, width) in &self.outputs {
            let name = manifest::Heads::output_name(head);
            let values = run.get(name).map(|(_, values)| values).filter(|v| v.len() == n * width).ok_or_else(|| {
                Error::new(ErrorKind::Model, format!("the graph has no output {name} [{n}, {width}]"))
                    .hint("the manifest and the graph do not belong together; convert the checkpoint again")
            })?;
            heads.push((values, *width));
        }
        let mut features = Vec::with_capacity(n * self.width());
        for (i, film) in run.hidden().chunks_exact(tokens).enumerate() {
            features.extend(Heads::features(film, shape.prefix_tokens, shape.embed_dim));
            for (values, width) in &heads {
                features.extend_from_slice(&values[i * width..(i + 1) * width]);
            }
        }
        Ok(features)
    }
}
