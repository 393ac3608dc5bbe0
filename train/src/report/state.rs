//! Where a training stands: weights, moments, the best look so far. One file, written whole or not at all.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::{Error, ErrorKind, Result};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::findings::F1;
use crate::files;
use crate::optim::parameters::Flat;
use crate::vit::linear::values;

const KEY: &str = "rad_dino.report";

/// What a look at val gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 0 text, 1 projector, 2 both.
    pub phase: usize,
    /// Steps done in the phase.
    pub step: usize,
    /// Loss with the image.
    pub seeing: f64,
    /// Loss with another film's image.
    pub blind: f64,
    /// Micro-F1 of the labels in what it writes; None where that was not looked at.
    pub findings: Option<F1>,
}

impl Score {
    /// Whether this look is better than `best`: by the findings it writes, where both were looked at, then by its loss.
    pub fn beats(&self, best: &Score) -> bool {
        match (self.findings.map(|f1| f1.worth()), best.findings.map(|f1| f1.worth())) {
            (Some(own), Some(other)) if own != other => own > other,
            _ => self.seeing < best.seeing,
        }
    }
}

/// Everything that is not a tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// sha256 of the configuration, the encoder and the reports.
    pub fingerprint: String,
    /// 0 text, 1 projector, 2 both.
    pub phase: usize,
    /// Steps done in the phase.
    pub step: usize,
    /// Looks at val.
    pub looks: Vec<Score>,
    /// Looks since the best one.
    pub idle: usize,
    /// Updates each parameter has had in this phase.
    pub updates: BTreeMap<String, u64>,
    /// The text of tokenizer.json.
    pub tokenizer: String,
}

/// Position and tensors: `now.…`, `best.…`, `first.…`, `second.…`.
#[derive(Clone, Debug)]
pub struct State<B: Backend> {
    /// Not tensors.
    pub position: Position,
    /// Flat.
    pub tensors: BTreeMap<&'static str, Flat<B>>,
}

/// The parts of a state.
pub const PARTS: [&str; 4] = ["now", "best", "first", "second"];

impl<B: Backend> State<B> {
    /// Writes the file; the folder is made if absent.
    ///
    /// # Errors
    /// `Io` naming the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        let internal = |e: String| Error::new(ErrorKind::Internal, format!("{}: {e}", path.display()));
        let mut encoded: Vec<(String, usize, Vec<u8>)> = vec![];
        for (part, flat) in &self.tensors {
            for (name, tensor) in flat {
                let values = values(tensor.clone());
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                encoded.push((format!("{part}.{name}"), values.len(), bytes));
            }
        }
        let mut views = Vec::with_capacity(encoded.len());
        for (name, length, bytes) in &encoded {
            let view = TensorView::new(Dtype::F32, vec![*length], bytes).map_err(|e| internal(e.to_string()))?;
            views.push((name.as_str(), view));
        }
        let position = serde_json::to_string(&self.position).map_err(|e| internal(e.to_string()))?;
        let metadata = HashMap::from([(KEY.to_owned(), position)]);
        let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| internal(e.to_string()))?;
        files::write(path, &bytes)
    }

    /// Reads the file.
    ///
    /// # Errors
    /// `Io`, or `Checkpoint` when it is no such state.
    pub fn read(path: &Path, device: &B::Device) -> Result<Self> {
        let refuse = |what: &str| {
            Error::new(ErrorKind::Checkpoint, format!("{}: {what}", path.display()))
                .hint("start again without --resume")
        };
        let bytes = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|_| refuse("no state file"))?;
        let text = metadata.metadata().as_ref().and_then(|entries| entries.get(KEY));
        let text = text.ok_or_else(|| refuse("no state of a report's training"))?;
        let position = serde_json::from_str(text).map_err(|_| refuse("of another version"))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|_| refuse("no state file"))?;
        let mut tensors: BTreeMap<&'static str, Flat<B>> = PARTS.into_iter().map(|part| (part, Flat::new())).collect();
        for (name, view) in file.tensors() {
            let Some((part, name)) = name.split_once('.') else { return Err(refuse("a tensor without a part")) };
            let Some(part) = PARTS.into_iter().find(|known| *known == part) else {
                return Err(refuse("a strange part"));
            };
            let values: Vec<f32> = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let length = values.len();
            let tensor = Tensor::from_data(TensorData::new(values, [length]), device);
            tensors.entry(part).or_default().insert(name.to_owned(), tensor);
        }
        Ok(State { position, tensors })
    }
}
