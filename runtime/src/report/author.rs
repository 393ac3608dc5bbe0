//! Who words the reports: a decoder, or the reports of films that are known.

use std::path::Path;

use rad_dino_kernels::map::MappedFile;

use super::decoder::Decoder;
use super::retrieval::{RETRIEVAL_KEY, Retrieval};
use crate::error::{Error, Result};
use crate::model::onnx::OnnxFile;

/// What a file of `--decoder` holds.
#[derive(Debug)]
pub enum Author {
    /// Writes word by word.
    Decoder(Box<Decoder>),
    /// Repeats the report of the film most alike.
    Retrieval(Box<Retrieval>),
}

impl Author {
    /// Loads a file that `rad-dino-quantize decoder` or `rad-dino-quantize retrieval` wrote.
    ///
    /// # Errors
    /// I/O; `Model` for a file that is refused; `Usage` for an unavailable `RDE_ISA`.
    pub fn from_file(path: &Path) -> Result<Self> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        Self::from_bytes(&map).map_err(|e| e.at(path.display()))
    }

    /// From the bytes of such a file.
    ///
    /// # Errors
    /// As [`Author::from_file`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let file = OnnxFile::parse(bytes)?;
        match file.metadata.contains_key(RETRIEVAL_KEY) {
            true => Ok(Author::Retrieval(Box::new(Retrieval::from_onnx(&file)?))),
            false => Ok(Author::Decoder(Box::new(Decoder::from_onnx(&file, bytes)?))),
        }
    }
}
