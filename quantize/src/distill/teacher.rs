//! The frozen encoder, run by the engine over every view once.

use std::path::Path;
use std::sync::mpsc::sync_channel;

use rad_dino_edge::checkpoint::{Checkpoint, EncoderWeights};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::augment::{Augment, Film, push_normalized};
use rad_dino_train::data::loader::{Films, Place};
use rad_dino_train::random::Random;
use rad_dino_train::ssl::multi_crop::{Crop, Rectangle};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::config::{Config, TeacherPrecision};
use super::progress;
use super::views::{Filling, Layout, View, Views};
use crate::{Options, convert};

/// Views a run of the engine.
const BATCH: usize = 16;
/// Batches made ahead.
const AHEAD: usize = 2;
/// Films that are tried in place of one that cannot be read.
const TRIES: usize = 64;

/// The frozen encoder.
#[derive(Debug)]
pub struct Teacher {
    /// Its weights.
    pub weights: EncoderWeights,
    /// Mean and deviation of its pixels; sizes are the views'.
    pub preprocessing: Preprocessing,
    engine: Engine,
    identity: String,
}

/// How films become views.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Look {
    /// Cropped and augmented, so many views a film.
    Varied(usize),
    /// The largest centred square, one view a film.
    Plain,
}

impl Teacher {
    /// The checkpoint folder at `dir`; an int8 teacher is first converted into `cache`.
    ///
    /// # Errors
    /// `Checkpoint` when the folder is refused or has no preprocessing, `Usage` when no patch grid fits the size.
    pub fn open(dir: &Path, config: &Config, cache: &Path, threads: usize) -> Result<Self> {
        let folder = Checkpoint::open(dir)?;
        let size = config.teacher.size;
        let preprocessing = folder.preprocessing().ok_or_else(|| {
            Error::new(ErrorKind::Checkpoint, format!("{}: no preprocessor_config.json", dir.display()))
                .hint("put the encoder's preprocessor_config.json into the folder")
        })?;
        let preprocessing = preprocessing.with_image_size(size);
        let engine = match config.teacher.precision {
            TeacherPrecision::Fp32 => Engine::from_checkpoint(dir, Some(size), threads)?,
            TeacherPrecision::Int8 => {
                std::fs::create_dir_all(cache).map_err(|e| Error::io(cache, e))?;
                let out = cache.join("teacher.onnx");
                convert(dir, &Options { image_size: Some(size), ..Options::new(Precision::Int8, &out) })?;
                Engine::from_file(&out, threads)?
            }
        };
        let identity = format!(
            "{}\n{}\n{:?}\n{preprocessing:?}\n{:?}",
            env!("CARGO_PKG_VERSION"),
            folder.sha256(),
            folder.config(),
            config.teacher.precision
        );
        Ok(Teacher { weights: folder.encoder_weights()?, preprocessing, engine, identity })
    }

    /// Everything that its features depend on but the views.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The features of all views of `films`: from `path` where it holds them, else computed into it.
    ///
    /// # Errors
    /// `Io` naming the file; `Data` when films cannot be read; those of the engine.
    pub fn views(
        &self,
        config: &Config,
        films: &Films,
        look: Look,
        path: &Path,
        label: &str,
        quiet: bool,
    ) -> Result<Views> {
        let shape = self.engine.shape();
        let rounds = if let Look::Varied(views) = look { views } else { 1 };
        let count = films.len().checked_mul(rounds).filter(|n| u32::try_from(*n).is_ok());
        let count = count.ok_or_else(|| Error::new(ErrorKind::Usage, "teacher.views: too many views"))?;
        let layout = Layout { side: shape.image_size, dim: shape.embed_dim, patches: shape.patches, count };
        let key = self.key(config, films, look);
        if let Some(views) = Views::open(path, &key, layout)? {
            return Ok(views);
        }
        let mut filling = Filling::open(path, &key, layout)?;
        let bar = progress::bar(label, "views", count, quiet);
        bar.set_position(filling.done as u64);
        let maker = Maker { config, films, look, preprocessing: &self.preprocessing, quiet };
        let first = filling.done;
        let (sender, receiver) = sync_channel(AHEAD);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for start in (first..count).step_by(BATCH) {
                    let range = start..(start + BATCH).min(count);
                    let made: Result<Vec<Vec<u8>>> = range.into_par_iter().map(|i| maker.make(i)).collect();
                    let failed = made.is_err();
                    if sender.send(made).is_err() || failed {
                        break;
                    }
                }
            });
            receiver.into_iter().try_for_each(|made| {
                let made = made?;
                for view in self.look_at(made)? {
                    filling.push(&view)?;
                    bar.inc(1);
                }
                Ok(())
            })
        })?;
        filling.finish()?;
        bar.finish_and_clear();
        Views::open(path, &key, layout)?
            .ok_or_else(|| Error::new(ErrorKind::Internal, format!("{}: not as it was written", path.display())))
    }

    fn look_at(&self, greys: Vec<Vec<u8>>) -> Result<Vec<View>> {
        let shape = self.engine.shape();
        let mut pixels = Vec::new();
        greys.iter().for_each(|grey| push_grey(grey, &self.preprocessing, &mut pixels));
        let run = self.engine.run(&pixels, greys.len())?;
        let (d, prefix) = (shape.embed_dim, shape.prefix_tokens);
        let tokens = run.hidden().chunks_exact((prefix + shape.patches) * d);
        let views = greys.into_iter().zip(tokens);
        Ok(views.map(|(grey, t)| View { grey, tokens: [&t[..d], &t[prefix * d..]].concat() }).collect())
    }

    fn key(&self, config: &Config, films: &Films, look: Look) -> [u8; 32] {
        let mut hash = Sha256::new();
        let drawn = match look {
            Look::Varied(views) => {
                format!("{views} {:?} {:?} {}", config.teacher.scale, config.augment, config.train.seed)
            }
            Look::Plain => "plain".to_owned(),
        };
        hash.update(format!("{}\n{drawn}\n{}\n", self.identity, films.len()));
        for place in films.places.iter() {
            match place {
                // not the folder: films may move
                Place::File(path) => hash.update(path.file_name().unwrap_or_default().as_encoded_bytes()),
                Place::Packed(_, i) => hash.update((*i as u64).to_le_bytes()),
            }
        }
        hash.finalize().into()
    }
}

/// Appends grey levels as three normalised channels.
pub fn push_grey(grey: &[u8], preprocessing: &Preprocessing, out: &mut Vec<f32>) {
    let view: Vec<f32> = grey.iter().map(|v| f32::from(*v) / 255.0).collect();
    push_normalized(&view, preprocessing, out);
}

#[derive(Clone, Copy)]
struct Maker<'a> {
    config: &'a Config,
    films: &'a Films,
    look: Look,
    preprocessing: &'a Preprocessing,
    quiet: bool,
}

impl Maker<'_> {
    /// The grey levels of view `i`: the same for the same seed.
    fn make(&self, i: usize) -> Result<Vec<u8>> {
        let size = self.preprocessing.crop_size;
        let mut random = Random::stream(self.config.train.seed ^ 0x7669_6577, i as u64);
        let film = self.film(i, &mut random)?;
        let view = match self.look {
            Look::Plain => {
                let side = film.width.min(film.height);
                let (left, top) = ((film.width - side) / 2, (film.height - side) / 2);
                film.crop(Rectangle { left, top, width: side, height: side }, size)
            }
            Look::Varied(_) => {
                let [low, high] = self.config.teacher.scale;
                let rectangle = Crop { size, low, high }.draw(film.width, film.height, &mut random);
                let mut view = film.crop(rectangle, size);
                let a = &self.config.augment;
                let augment = Augment {
                    jitter_probability: a.jitter_probability,
                    jitter: a.jitter,
                    blur_probability: a.blur_probability,
                    blur_sigma: (a.blur_sigma[0], a.blur_sigma[1]),
                    flip_probability: a.flip_probability,
                };
                augment.apply(&mut view, size, &mut random);
                view
            }
        };
        Ok(view.iter().map(|v| (v * 255.0).round() as u8).collect())
    }

    /// Film i modulo their number, another one in place of a bad film.
    fn film(&self, i: usize, random: &mut Random) -> Result<Film> {
        let n = self.films.len().max(1);
        let mut at = i % n;
        for _ in 0..TRIES {
            match self.films.read(at) {
                Ok(film) => return Ok(film),
                // named in the first round only
                Err(error) if i < n && !self.quiet => eprintln!("skipped: {error}"),
                Err(_) => {}
            }
            at = random.below(n);
        }
        Err(Error::new(ErrorKind::Data, "none of the films could be read").hint("check --data"))
    }
}
