//! Reading and writing the state file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::checkpoint::Config as EncoderConfig;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_kernels::map::MappedFile;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::HeadShape;
use crate::files;
use crate::optim::parameters::Flat;
use crate::vit::linear::values;

/// The key of the file's metadata.
const KEY: &str = "rad_dino.pretrain";

/// Everything of a run that is not a tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps done.
    pub step: usize,
    /// Steps in all, as the schedules count; None while `--max-minutes` has not measured yet.
    pub total: Option<usize>,
    /// sha256 of the configuration and the list of films.
    pub fingerprint: String,
    /// The encoder's shape.
    pub encoder: EncoderConfig,
    /// What the exported folder says.
    pub preprocessing: Preprocessing,
    /// The head on CLS.
    pub dino_head: HeadShape,
    /// The head on patches.
    pub ibot_head: Option<HeadShape>,
    /// Updates each parameter has had.
    pub updates: BTreeMap<String, u64>,
}

/// Position and tensors: `student.…`, `teacher.…`, `first.…`, `second.…`, `center.…`.
#[derive(Clone, Debug)]
pub struct State<B: Backend, P = Position> {
    /// Not tensors.
    pub position: P,
    /// All tensors, flat.
    pub tensors: Flat<B>,
}

impl<B: Backend, P: Serialize + DeserializeOwned> State<B, P> {
    /// Writes the file, whole or not at all; the folder is made if absent.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let internal = |e: String| Error::new(ErrorKind::Internal, format!("{}: {e}", path.display()));
        let encoded: Vec<(&str, usize, Vec<u8>)> = self
            .tensors
            .iter()
            .map(|(name, tensor)| {
                let values = values(tensor.clone());
                (name.as_str(), values.len(), values.iter().flat_map(|v| v.to_le_bytes()).collect())
            })
            .collect();
        let mut views = Vec::with_capacity(encoded.len());
        for (name, length, bytes) in &encoded {
            let view = TensorView::new(Dtype::F32, vec![*length], bytes).map_err(|e| internal(e.to_string()))?;
            views.push((*name, view));
        }
        let position = serde_json::to_string(&self.position).map_err(|e| internal(e.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), position)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| internal(e.to_string()))?;
        files::write(path, &bytes)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// `Io`, or `Checkpoint` when it is no state file.
    pub fn read(path: &Path, device: &B::Device) -> Result<Self> {
        let refuse = |what: String| {
            Error::new(ErrorKind::Checkpoint, format!("{}: {what}", path.display()))
                .hint("start again without --resume, in another folder")
        };
        let bytes = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| refuse(format!("no state file: {e}")))?;
        let text = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let text = text.ok_or_else(|| refuse("no state file: its metadata do not say where the run was".to_owned()))?;
        let position = serde_json::from_str(text).map_err(|e| refuse(format!("of another version: {e}")))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|e| refuse(format!("no state file: {e}")))?;
        let mut tensors = Flat::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(refuse(format!("tensor {name} is not f32")));
            }
            let (chunks, _) = view.data().as_chunks::<4>();
            let values: Vec<f32> = chunks.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let length = values.len();
            tensors.insert(name, Tensor::from_data(TensorData::new(values, [length]), device));
        }
        Ok(State { position, tensors })
    }

    /// The tensors whose names start with `prefix` and a dot, without it.
    pub fn part(&self, prefix: &str) -> Flat<B> {
        let inside = |name: &str| name.strip_prefix(prefix)?.strip_prefix('.').map(str::to_owned);
        self.tensors.iter().filter_map(|(name, tensor)| Some((inside(name)?, tensor.clone()))).collect()
    }

    /// Adds tensors under `prefix`.
    pub fn insert(&mut self, prefix: &str, tensors: Flat<B>) {
        self.tensors.extend(tensors.into_iter().map(|(name, tensor)| (format!("{prefix}.{name}"), tensor)));
    }
}
