//! `embed`: feature vectors.

mod shards;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::model::Loaded;
use super::options::{Common, ModelChoice, ScanOptions, progress};
use super::{Tally, model};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::output::{npy, safetensors, write};
use crate::preprocess::{Preprocessing, preprocess};
use crate::scan::{self, Options};

/// Feature vectors of scans, f32, one row a scan in order; a scan that failed is a row of NaN.
#[derive(Debug, Args)]
pub struct Embed {
    /// Scans or folders of scans.
    #[arg(required = true, value_name = "SCAN")]
    scans: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelChoice,
    /// FILE.npy or FILE.safetensors (tensor `embeddings`); with --format parquet a folder.
    #[arg(long, value_name = "FILE|DIR")]
    out: PathBuf,
    /// parquet: a file a shard with the columns path, sha256, embedding and error, a row a scan; a shard that is there
    /// already is left as it is. Without it the ending of --out decides.
    #[arg(long, value_enum)]
    format: Option<shards::Format>,
    /// With --format parquet: take the I-th of N parts, I from 0 on; a scan's part depends on its path alone.
    #[arg(long, value_name = "I/N", requires = "format", default_value = "0/1")]
    shard: shards::Shard,
    /// cls [N,D], patch [N,P,D] or all [N,1+R+P,D].
    #[arg(long, value_enum, default_value_t)]
    tokens: Tokens,
    /// preprocessor_config.json, for a graph from elsewhere that has no manifest.
    #[arg(long, value_name = "FILE.json")]
    preprocessor: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    options: ScanOptions,
}

/// Which tokens of the sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Tokens {
    /// The CLS token.
    #[default]
    Cls,
    /// The patch tokens.
    Patch,
    /// Everything.
    All,
}

#[derive(Clone, Copy)]
enum Container {
    Npy,
    Safetensors,
}

impl Embed {
    pub(super) fn run(&self) -> Result<Tally> {
        if self.format.is_some() {
            return shards::run(self);
        }
        let container = match self.out.extension().and_then(|e| e.to_str()) {
            Some("npy") => Container::Npy,
            Some("safetensors") => Container::Safetensors,
            _ => {
                let message = format!("{}: unknown kind of output", self.out.display());
                return Err(Error::new(ErrorKind::Usage, message).hint("end --out in .npy or .safetensors"));
            }
        };
        let (loaded, preprocessing) = self.load()?;
        let engine = &loaded.engine;
        let scans = scan::collect(&self.scans)?;
        let shape = self.shape(engine, scans.len());
        let header = match container {
            Container::Npy => npy::header(&shape)?,
            Container::Safetensors => safetensors::header("embeddings", &shape),
        };
        let mut tally = Tally::default();
        let mut broken = None;
        let written = write::atomic(&self.out, |out| {
            out.write_all(&header)?;
            let rows = self.rows(engine, &preprocessing, &scans, shape[1..].iter().product(), out, &mut tally)?;
            // A defect of ours ends the file: the closure can only say so as an I/O error.
            rows.map_err(|error| {
                let message = error.to_string();
                broken = Some(error);
                std::io::Error::other(message)
            })
        });
        match broken {
            Some(error) => Err(error),
            None => written.map(|()| tally),
        }
    }

    /// The model, and how its pixels are prepared.
    fn load(&self) -> Result<(Loaded, Preprocessing)> {
        let given = self.preprocessor.as_deref().map(read_preprocessor).transpose()?;
        let loaded = model::load(&self.model, &self.common, given.as_ref().map(|p| p.crop_size))?;
        let engine = &loaded.engine;
        let preprocessing = given.or_else(|| engine.preprocessing().cloned()).ok_or_else(|| {
            Error::new(
                ErrorKind::Model,
                format!("{}: the file has no manifest, so its preprocessing is unknown", loaded.name),
            )
            .hint("give the model's preprocessor_config.json with --preprocessor")
        })?;
        if preprocessing.crop_size != engine.shape().image_size {
            let message = format!(
                "the preprocessor crops to {} pixels but the model takes {}",
                preprocessing.crop_size,
                engine.shape().image_size
            );
            return Err(Error::new(ErrorKind::Usage, message).hint("use the preprocessor that belongs to the model"));
        }
        Ok((loaded, preprocessing))
    }

    fn shape(&self, engine: &Engine, n: usize) -> Vec<usize> {
        let shape = engine.shape();
        match self.tokens {
            Tokens::Cls => vec![n, shape.embed_dim],
            Tokens::Patch => vec![n, shape.patches, shape.embed_dim],
            Tokens::All => vec![n, shape.prefix_tokens + shape.patches, shape.embed_dim],
        }
    }

    fn rows(
        &self,
        engine: &Engine,
        preprocessing: &Preprocessing,
        scans: &[PathBuf],
        length: usize,
        out: &mut dyn Write,
        tally: &mut Tally,
    ) -> std::io::Result<Result<()>> {
        let options = self.options.options();
        let bar = progress(scans.len(), self.common.quiet);
        let mut bytes = Vec::with_capacity(length * 4);
        for path in scans {
            bytes.clear();
            match self.row(engine, preprocessing, path, &options) {
                Ok((_, row)) => {
                    tally.done += 1;
                    bytes.extend(row.iter().flat_map(|x| x.to_le_bytes()));
                }
                Err(error) if error.kind() == ErrorKind::Internal => return Ok(Err(error)),
                Err(error) => {
                    tally.failed += 1;
                    bar.suspend(|| eprintln!("error: {error}"));
                    bytes.extend((0..length).flat_map(|_| f32::NAN.to_le_bytes()));
                }
            }
            out.write_all(&bytes)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Ok(()))
    }

    /// The scan's sha256 and its tokens.
    fn row(
        &self,
        engine: &Engine,
        preprocessing: &Preprocessing,
        path: &Path,
        options: &Options,
    ) -> Result<(String, Vec<f32>)> {
        let shape = engine.shape();
        let scan = options.read(path)?;
        let mut pixels = vec![0.0; 3 * shape.image_size * shape.image_size];
        preprocess(&scan, preprocessing, &mut pixels)?;
        let outputs = engine.run(&pixels, 1)?;
        let hidden = outputs.hidden();
        let tokens = match self.tokens {
            Tokens::Cls => hidden[..shape.embed_dim].to_vec(),
            Tokens::Patch => hidden[shape.prefix_tokens * shape.embed_dim..].to_vec(),
            Tokens::All => hidden.to_vec(),
        };
        Ok((scan.sha256, tokens))
    }
}

fn read_preprocessor(path: &Path) -> Result<Preprocessing> {
    const LIMIT: u64 = 1 << 20;
    let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
    if length > LIMIT {
        return Err(Error::new(
            ErrorKind::Usage,
            format!("{}: too long for a preprocessor_config.json", path.display()),
        ));
    }
    let json = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    Preprocessing::from_json(&json).map_err(|e| e.at(path.display()))
}
