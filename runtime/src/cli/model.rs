//! Loading the model a subcommand was asked for.

use std::path::Path;

use rad_dino_kernels::Isa;

use super::options::{Common, ModelChoice};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::reader::Reader;
use crate::report::Author;

/// A loaded model with a name for people.
#[derive(Debug)]
pub struct Loaded {
    /// Ready to run.
    pub engine: Engine,
    /// The file's stem, or `embedded`.
    pub name: String,
}

/// Loads `--model`, else the embedded model. `image_size` fixes a foreign graph's side.
pub fn load(choice: &ModelChoice, common: &Common, image_size: Option<usize>) -> Result<Loaded> {
    load_with_threads(choice, common.threads, image_size)
}

/// As [`load`] with a number of threads.
pub fn load_with_threads(choice: &ModelChoice, threads: usize, image_size: Option<usize>) -> Result<Loaded> {
    match &choice.model {
        Some(path) => {
            let engine = Engine::from_file_at(path, threads, image_size).map_err(model_io)?;
            let name = path.file_stem().map_or("model".into(), |s| s.to_string_lossy().into_owned());
            Ok(Loaded { engine, name })
        }
        None => embedded(threads),
    }
}

/// As [`load`], on the instruction set `isa`.
pub fn load_on(choice: &ModelChoice, threads: usize, isa: Isa) -> Result<Engine> {
    match &choice.model {
        Some(path) => Engine::from_file_on(path, threads, isa).map_err(model_io),
        #[cfg(feature = "embedded-model")]
        None => Engine::from_bytes_on(crate::model::embedded::ENCODER, threads, isa),
        #[cfg(not(feature = "embedded-model"))]
        None => embedded(threads).map(|loaded| loaded.engine),
    }
}

/// Loads `--model`, else the embedded model, as what reads scans.
pub fn reader(choice: &ModelChoice, common: &Common) -> Result<Reader> {
    let Loaded { engine, name } = load(choice, common, None)?;
    Reader::new(engine, &name)
}

/// `reader`, whose reports the author of [`author`] words where there is one.
pub fn writing(reader: Reader, path: Option<&Path>, choice: &ModelChoice, grounded: bool) -> Result<Reader> {
    match author(path, choice)? {
        Some(author) => reader.with_author(author, grounded),
        None => Ok(reader),
    }
}

/// Loads the author at `path`, else the one beside `--model`, else (without `--model`) the embedded one, if any.
fn author(path: Option<&Path>, choice: &ModelChoice) -> Result<Option<Author>> {
    if let Some(path) = path {
        return Author::from_file(path).map(Some).map_err(|e| match e.kind() {
            ErrorKind::Io => Error::new(ErrorKind::Usage, e.message().to_string()).hint("check --decoder"),
            _ => e,
        });
    }
    match &choice.model {
        Some(model) => {
            let beside = model.with_extension("report.onnx");
            beside.exists().then(|| Author::from_file(&beside)).transpose()
        }
        None => embedded_author(),
    }
}

#[cfg(feature = "embedded-model")]
fn embedded_author() -> Result<Option<Author>> {
    Author::from_bytes(crate::model::embedded::DECODER).map(Some).map_err(|e| e.at("embedded decoder"))
}

#[cfg(not(feature = "embedded-model"))]
fn embedded_author() -> Result<Option<Author>> {
    Ok(None)
}

/// A model file that cannot be read at all is refused like one that cannot be understood, except that a missing one is
/// a mistake on the command line.
fn model_io(error: Error) -> Error {
    if error.kind() != ErrorKind::Io {
        return error;
    }
    let kind = if Path::new(error.message().split(": ").next().unwrap_or("")).exists() {
        ErrorKind::Model
    } else {
        ErrorKind::Usage
    };
    Error::new(kind, error.message().to_string()).hint("check --model")
}

#[cfg(feature = "embedded-model")]
fn embedded(threads: usize) -> Result<Loaded> {
    let engine = Engine::from_bytes(crate::model::embedded::ENCODER, threads).map_err(|e| e.at("embedded model"))?;
    Ok(Loaded { engine, name: "embedded".into() })
}

#[cfg(not(feature = "embedded-model"))]
fn embedded(_: usize) -> Result<Loaded> {
    Err(Error::new(ErrorKind::Usage, "this binary was built without an embedded model").hint("name one with --model"))
}
