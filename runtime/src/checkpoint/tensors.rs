//! The tensors of one or several safetensors files, memory-mapped, each taken once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use rad_dino_kernels::map::MappedFile;
use safetensors::{Dtype, SafeTensors};

use super::DType;
use crate::error::{Error, ErrorKind, Result};

/// The tensors of a checkpoint, by name.
#[derive(Debug)]
pub(super) struct Tensors {
    files: Vec<MappedFile>,
    index: BTreeMap<String, Entry>,
    place: String,
}

#[derive(Clone, Debug)]
struct Entry {
    file: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Range<usize>,
}

impl Tensors {
    /// No tensors yet; `place` is the file (or folder) that errors name.
    pub fn new(place: &Path) -> Self {
        Tensors { files: Vec::new(), index: BTreeMap::new(), place: place.display().to_string() }
    }

    /// Maps `path` and adds its tensors; a name that is already there is an error.
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        let (header, metadata) = SafeTensors::read_metadata(&map).map_err(|e| {
            Error::new(ErrorKind::Checkpoint, format!("{}: not a whole safetensors file: {e}", path.display()))
                .hint("download or write the file again")
                .source(e)
        })?;
        // read_metadata has checked that header and offsets lie within the file
        let start = header.saturating_add(8);
        for (name, info) in metadata.tensors() {
            let (from, to) = info.data_offsets;
            let bytes = start.saturating_add(from)..start.saturating_add(to);
            let entry = Entry { file: self.files.len(), dtype: info.dtype, shape: info.shape.clone(), bytes };
            if self.index.insert(name.clone(), entry).is_some() {
                return Err(self.refuse(format!("tensor {name} is in two shards")));
            }
        }
        self.files.push(map);
        Ok(())
    }

    /// The mapped files in the order they were added.
    pub fn files(&self) -> &[MappedFile] {
        &self.files
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// Shape of the tensor of this name, if there is one.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.index.get(name).map(|entry| entry.shape.as_slice())
    }

    /// A reader that checks names and shapes and knows in the end what nobody asked for.
    pub fn reader(&self) -> Reader<'_> {
        Reader { tensors: self, taken: BTreeSet::new() }
    }

    fn refuse(&self, message: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Checkpoint, format!("{}: {message}", self.place))
            .hint("restore the file from where the checkpoint came")
    }
}

/// Takes tensors out of [`Tensors`] as f32.
pub(super) struct Reader<'a> {
    tensors: &'a Tensors,
    taken: BTreeSet<&'a str>,
}

impl<'a> Reader<'a> {
    /// Whether one of the names exists.
    pub fn has(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.tensors.contains(name))
    }

    /// The tensor under the first of `names` that exists, as f32, if its shape is `shape`.
    /// Missing, misshapen, of another number format or not finite: an error that names it.
    pub fn take(&mut self, names: &[&str], shape: &[usize]) -> Result<Vec<f32>> {
        let found = names.iter().find_map(|name| self.tensors.index.get_key_value(*name));
        let Some((name, entry)) = found else {
            let known = names.first().copied().unwrap_or_default();
            return Err(self
                .tensors
                .refuse(format!("tensor {known} {shape:?} is missing"))
                .hint("config.json and the weights must belong together"));
        };
        self.taken.insert(name);
        if entry.shape != shape {
            return Err(self
                .tensors
                .refuse(format!("tensor {name} has shape {:?}, expected {shape:?}", entry.shape))
                .hint("config.json and the weights must belong together"));
        }
        let dtype = DType::from_safetensors(entry.dtype).ok_or_else(|| {
            self.tensors
                .refuse(format!("tensor {name} is {:?}", entry.dtype))
                .hint("save the checkpoint as float32, float16 or bfloat16")
        })?;
        let bytes = self.tensors.files.get(entry.file).and_then(|file| file.get(entry.bytes.clone()));
        let values = dtype.decode(bytes.unwrap_or_default());
        if Some(values.len()) != shape.iter().try_fold(1usize, |n, side| n.checked_mul(*side)) {
            return Err(self.tensors.refuse(format!("tensor {name} is cut off")));
        }
        if values.iter().any(|value| !value.is_finite()) {
            return Err(self
                .tensors
                .refuse(format!("tensor {name} holds values that are not finite"))
                .hint("the training diverged or the file is damaged; take an earlier checkpoint"));
        }
        Ok(values)
    }

    /// Fails with the first tensor that was never taken.
    pub fn finish(self) -> Result<()> {
        let mut extra = self.tensors.index.keys().filter(|name| !self.taken.contains(name.as_str()));
        let Some(name) = extra.next() else { return Ok(()) };
        let more = match extra.count() {
            0 => String::new(),
            n => format!(" (and {n} more)"),
        };
        Err(self.tensors.refuse(format!("tensor {name} does not belong to this model{more}")).hint(
            "config.json and the weights must belong together; of a model with a head save the encoder alone \
             (its .dinov2 or .dinov2_with_registers) with save_pretrained",
        ))
    }
}
