//! The engine: a model file (or a checkpoint folder) run by tract with our fused operators.

mod attention;
mod block;
mod context;
mod foreign;
#[cfg(feature = "checkpoint")]
mod from_checkpoint;
pub(crate) mod from_file;
#[cfg(feature = "checkpoint")]
mod from_weights;
mod graph;
pub mod heads;
mod lane;
pub(crate) mod linear;
mod norm;
mod operator;
mod outputs;
mod parts;
mod patch_embed;
mod scratch;
mod segmentation;
mod trace;
mod turn;

use std::path::Path;
use std::sync::Arc;

use rad_dino_kernels::Isa;
use rad_dino_kernels::map::MappedFile;
use sha2::{Digest, Sha256};
use tract_onnx::prelude::*;

use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::{self, MANIFEST_KEY, MANIFEST_SCHEMA, Manifest};
use crate::model::onnx::{OnnxFile, refused};
use crate::output::mask;
use crate::preprocess::Preprocessing;

pub use block::{Activation, Block, Levelling};
pub use context::Context;
pub use linear::{Linear, Quantised};
pub use norm::LayerNorm;
pub use operator::Network;
pub use outputs::Outputs;
pub use parts::Parts;
pub use patch_embed::PatchEmbed;
pub use trace::LayerInputs;
pub use turn::Visit;

use foreign::Foreign;
use lane::Lane;
use turn::{Share, Turn};

/// Shape of what goes in and out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// S, pixels.
    pub image_size: usize,
    /// Patch side, pixels.
    pub patch_size: usize,
    /// D
    pub embed_dim: usize,
    /// 1+R
    pub prefix_tokens: usize,
    /// P
    pub patches: usize,
}

/// A loaded model, ready to run. Threads may share it: runs begin in the order in which they were asked for, and results do
/// not depend on the number of threads.
#[derive(Debug)]
pub struct Engine {
    source: Source,
    shape: Shape,
    manifest: Option<Manifest>,
    preprocessing: Option<Preprocessing>,
    sha256: String,
    isa: Isa,
    threads: usize,
    turn: Turn,
}

#[derive(Debug)]
enum Source {
    /// The lane of all threads; of [`Engine::for_many`] also two of half the threads each.
    Ours {
        lane: Lane,
        halves: Option<Box<[Lane; 2]>>,
    },
    Foreign(Foreign),
}

impl Engine {
    /// Loads a model file (memory-mapped while it is read). `threads` 0 means one per core.
    ///
    /// # Errors
    /// I/O, [`ErrorKind::Model`] for a file that is refused, [`ErrorKind::Usage`] for an unavailable `RDE_ISA`.
    pub fn from_file(path: &Path, threads: usize) -> Result<Self> {
        Self::from_file_at(path, threads, None)
    }

    /// As [`Engine::from_file`]; `image_size` fixes the side of a foreign graph whose input is symbolic.
    ///
    /// # Errors
    /// As [`Engine::from_file`].
    pub fn from_file_at(path: &Path, threads: usize, image_size: Option<usize>) -> Result<Self> {
        Self::map(path, threads, image_size, isa_of_env()?)
    }

    /// As [`Engine::from_file`], on the instruction set `isa` whatever `RDE_ISA` says.
    ///
    /// # Errors
    /// As [`Engine::from_file`].
    pub fn from_file_on(path: &Path, threads: usize, isa: Isa) -> Result<Self> {
        Self::map(path, threads, None, isa)
    }

    /// Loads a model from the bytes of its file.
    ///
    /// # Errors
    /// As [`Engine::from_file`].
    pub fn from_bytes(bytes: &[u8], threads: usize) -> Result<Self> {
        Self::from_bytes_at(bytes, threads, None, isa_of_env()?)
    }

    /// As [`Engine::from_bytes`], on the instruction set `isa` whatever `RDE_ISA` says.
    ///
    /// # Errors
    /// As [`Engine::from_file`].
    pub fn from_bytes_on(bytes: &[u8], threads: usize, isa: Isa) -> Result<Self> {
        Self::from_bytes_at(bytes, threads, None, isa)
    }

    fn map(path: &Path, threads: usize, image_size: Option<usize>, isa: Isa) -> Result<Self> {
        let map = MappedFile::open(path).map_err(|e| Error::io(path, e))?;
        Self::from_bytes_at(&map, threads, image_size, isa).map_err(|e| e.at(path.display()))
    }

    fn from_bytes_at(bytes: &[u8], threads: usize, image_size: Option<usize>, isa: Isa) -> Result<Self> {
        let (pool, threads) = pool(threads)?;
        let file = OnnxFile::parse(bytes)?;
        let manifest = file.metadata.get(MANIFEST_KEY).map(|json| manifest(json)).transpose()?;
        let preprocessing = manifest.as_ref().map(|m| m.preprocessing.clone());
        let (source, sha256) = if file.is_ours() {
            let (parts, sha256) = pool.join(|| from_file::parts(&file, isa), || hex(bytes));
            (ours(parts?, isa, pool)?, sha256)
        } else {
            (Source::Foreign(Foreign::load(bytes, &file, image_size, threads)?), hex(bytes))
        };
        let threads = match &source {
            Source::Foreign(graph) => graph.threads,
            Source::Ours { .. } => threads,
        };
        Self::assemble(source, manifest, preprocessing, sha256, isa, threads)
    }

    fn assemble(
        source: Source,
        manifest: Option<Manifest>,
        preprocessing: Option<Preprocessing>,
        sha256: String,
        isa: Isa,
        threads: usize,
    ) -> Result<Self> {
        let shape = match &source {
            Source::Foreign(graph) => graph.shape,
            Source::Ours { lane, .. } => {
                let embed = &lane.network.parts.patch_embed;
                Shape {
                    image_size: embed.image_size(),
                    patch_size: embed.patch_size,
                    embed_dim: embed.width(),
                    prefix_tokens: embed.prefix_tokens(),
                    patches: embed.grid * embed.grid,
                }
            }
        };
        if let Some(p) = &preprocessing
            && p.crop_size != shape.image_size
        {
            return Err(refused(format!(
                "preprocessing crops to {} pixels but the graph takes {}",
                p.crop_size, shape.image_size
            )));
        }
        if let Some(manifest) = &manifest {
            check_heads(manifest, &source)?;
        }
        Ok(Engine { source, shape, manifest, preprocessing, sha256, isa, threads, turn: Turn::default() })
    }

    /// Runs `n` images, `pixel_values` [n, 3, S, S], already normalised.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] when the length does not fit or tract fails.
    pub fn run(&self, pixel_values: &[f32], n: usize) -> Result<Outputs> {
        let size = self.shape.image_size;
        if n == 0 || pixel_values.len() != n * 3 * size * size {
            let message = format!("{} pixel values are not {n} images of 3×{size}×{size}", pixel_values.len());
            return Err(Error::new(ErrorKind::Internal, message));
        }
        // One pass at a time in a lane, whose scratch it uses. The turn is taken outside the lane's threads, so that none of
        // them waits for it while it runs another's tasks.
        match &self.source {
            Source::Foreign(graph) => {
                let _turn = self.turn.take(false);
                graph.run(pixel_values, n)
            }
            Source::Ours { lane, halves } => {
                let turn = self.turn.take(halves.is_some());
                let lane = match (turn.share, halves) {
                    (Share::Half(half), Some(halves)) => halves.get(half).unwrap_or(lane),
                    _ => lane,
                };
                lane.run(pixel_values, n)
            }
        }
    }

    /// Says, until it is dropped, that the caller is about to ask for passes: after [`Engine::for_many`] several such callers
    /// get half of the threads each, however their passes fall.
    pub fn visit(&self) -> Visit<'_> {
        self.turn.visit()
    }

    /// Made ready for many callers at once: while several wait or visit, two passes run side by side on half of the threads each,
    /// which takes less time than one after the other on all. Costs the memory of two more lanes; the weights are shared.
    ///
    /// # Errors
    /// When no threads can be started.
    pub fn for_many(mut self) -> Result<Self> {
        if let Source::Ours { lane, halves } = &mut self.source
            && self.threads > 1
        {
            let half = self.threads.div_ceil(2);
            *halves = Some(Box::new([lane.beside(half)?, lane.beside(half)?]));
        }
        Ok(self)
    }

    /// The manifest in the file, if it has one.
    pub fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Pixels in: from the manifest, or from the checkpoint's preprocessor_config.json.
    pub fn preprocessing(&self) -> Option<&Preprocessing> {
        self.preprocessing.as_ref()
    }

    /// Shape of inputs and outputs.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// sha256 of the model file, or of the checkpoint's weights, in hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Threads in use.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The model's heads, when the graph has them.
    pub fn heads(&self) -> Option<&heads::Heads> {
        match &self.source {
            Source::Ours { lane, .. } => lane.heads(),
            Source::Foreign(_) => None,
        }
    }

    /// The fused operators and what they run on, for those who take the network apart; None for a foreign graph.
    pub fn network(&self) -> Option<&Network> {
        match &self.source {
            Source::Ours { lane, .. } => Some(&lane.network),
            Source::Foreign(_) => None,
        }
    }

    /// Runs `task` on the engine's threads, while no pass runs.
    pub fn alone<T: Send>(&self, task: impl FnOnce() -> T + Send) -> T {
        let _turn = self.turn.take(false);
        match &self.source {
            Source::Ours { lane, .. } => lane.install(task),
            Source::Foreign(_) => task(),
        }
    }

    /// For each patch of one image's tokens [1+R+P, D], what column `output` of `head` would say if every patch looked
    /// like it: [P] logits. None when the model lacks the head.
    pub fn patch_evidence(&self, head: &str, output: usize, tokens: &[f32]) -> Option<Vec<f32>> {
        let Source::Ours { lane, .. } = &self.source else { return None };
        let heads = lane.heads()?;
        let head = heads.heads.iter().find(|h| h.name == head)?;
        Some(heads.evidence(&lane.network.context, head, output, tokens))
    }
}

/// The network of `parts`, run by `pool`.
fn ours(parts: Parts, isa: Isa, pool: rayon::ThreadPool) -> Result<Source> {
    Ok(Source::Ours { lane: Lane::new(Arc::new(parts), isa, pool)?, halves: None })
}

/// A manifest's labels must be the graph's outputs, so that no label is given to another one's number.
fn check_heads(manifest: &Manifest, source: &Source) -> Result<()> {
    let Source::Ours { lane, .. } = source else { return Ok(()) };
    let outputs = lane.heads().into_iter().flat_map(heads::Heads::outputs);
    let graph: Vec<_> = outputs.map(|(name, shape)| (name, shape.first().copied().unwrap_or(0))).collect();
    let declared = manifest.heads.declared().into_iter();
    let declared: Vec<_> = declared.map(|(name, outputs)| (manifest::Heads::output_name(name), outputs)).collect();
    if graph != declared {
        return Err(refused(format!("its manifest declares the heads {declared:?}, its graph has {graph:?}")));
    }
    match manifest.heads.segmentation.iter().find(|label| !mask::is_file_name(label)) {
        Some(label) => Err(refused(format!("segmentation label {label:?} must be letters, digits, _ and -"))),
        None => Ok(()),
    }
}

fn manifest(json: &str) -> Result<Manifest> {
    let manifest: Manifest =
        serde_json::from_str(json).map_err(|e| refused(format!("its manifest cannot be read: {e}")))?;
    if manifest.schema != MANIFEST_SCHEMA {
        return Err(refused(format!(
            "its manifest has schema `{}`, this build reads {MANIFEST_SCHEMA}",
            manifest.schema
        )));
    }
    Ok(manifest)
}

fn pool(threads: usize) -> Result<(rayon::ThreadPool, usize)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { cores } else { threads };
    if threads > 1024 {
        return Err(
            Error::new(ErrorKind::Usage, format!("{threads} threads are too many")).hint("use --threads ≤ 1024")
        );
    }
    Ok((self::threads(threads)?, threads))
}

fn threads(count: usize) -> Result<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count).build();
    pool.map_err(|e| Error::new(ErrorKind::Internal, "no threads can be started").source(e))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

fn isa_of_env() -> Result<Isa> {
    Isa::from_env().map_err(isa_error)
}

pub(crate) fn isa_error(error: rad_dino_kernels::IsaError) -> Error {
    Error::new(ErrorKind::Usage, error.to_string()).hint("unset RDE_ISA to let the engine choose")
}

fn internal(error: TractError) -> Error {
    Error::new(ErrorKind::Internal, format!("tract: {error:#}"))
}
