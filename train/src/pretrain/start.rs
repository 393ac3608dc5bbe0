//! What a run starts from: encoder, preprocessing, heads.

use std::path::Path;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::checkpoint::{Checkpoint, Config as EncoderConfig, EncoderWeights};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::{Error, ErrorKind, Result};

use super::config::{Config, Start};
use super::export::{self, DINO_HEAD, IBOT_HEAD};
use crate::data::augment::push_normalized;
use crate::data::loader::Films;
use crate::random::Random;
use crate::ssl::multi_crop::Rectangle;
use crate::ssl::{DinoHead, HeadWeights, Network, whitening};
use crate::vit::linear::values;
use crate::vit::{Encoder, initial};

/// Films a forward pass when heads are made from features.
const FILMS: usize = 8;
/// Patches taken of each film.
const PATCHES: usize = 4;

/// Encoder weights and the preprocessing they expect.
#[derive(Clone, Debug)]
pub struct Backbone {
    /// All weights.
    pub weights: EncoderWeights,
    /// Mean and deviation; sizes are what the exported folder says.
    pub preprocessing: Preprocessing,
}

/// Width, heads and blocks of a named architecture.
pub fn architecture(name: &str) -> Option<(usize, usize, usize)> {
    match name {
        "vit-tiny" => Some((192, 3, 12)),
        "vit-small" => Some((384, 6, 12)),
        "vit-base" => Some((768, 12, 12)),
        "vit-test" => Some((32, 2, 2)),
        _ => None,
    }
}

/// The checkpoint at `init`, or a fresh encoder as the configuration describes it.
///
/// # Errors
/// Those of reading the checkpoint; `Usage` when the crops hold no patch.
pub fn backbone(config: &Config, init: Option<&Path>) -> Result<Backbone> {
    let default = Preprocessing {
        shortest_edge: config.crops.global_size,
        crop_size: config.crops.global_size,
        rescale_factor: 1.0 / 255.0,
        // grey statistics of chest radiographs, as microsoft/rad-dino normalises them
        image_mean: [0.5307; 3],
        image_std: [0.2583; 3],
    };
    let (weights, preprocessing) = match init {
        Some(dir) => {
            let checkpoint = Checkpoint::open(dir)?;
            let preprocessing = checkpoint.preprocessing().cloned().unwrap_or(default);
            (checkpoint.encoder_weights()?, preprocessing)
        }
        None => (initial::encoder(&encoder_config(config)?, config.train.seed), default),
    };
    let p = weights.config.patch_size;
    if config.crops.global_size < p || (config.crops.local_count > 0 && config.crops.local_size < p) {
        return Err(Error::new(ErrorKind::Usage, format!("crops are smaller than a patch of {p} pixels"))
            .hint("raise crops.global_size and crops.local_size"));
    }
    Ok(Backbone { weights, preprocessing })
}

fn encoder_config(config: &Config) -> Result<EncoderConfig> {
    let model = &config.model;
    let (width, heads, layers) = architecture(&model.arch)
        .ok_or_else(|| Error::new(ErrorKind::Usage, format!("model.arch: {:?} is unknown", model.arch)))?;
    let kind = if model.registers > 0 { "dinov2_with_registers" } else { "dinov2" };
    let encoder = EncoderConfig {
        model_type: kind.to_owned(),
        hidden_size: width,
        num_hidden_layers: layers,
        num_attention_heads: heads,
        mlp_ratio: 4.0,
        image_size: model.image_size,
        patch_size: model.patch_size,
        layer_norm_eps: 1e-6,
        qkv_bias: true,
        use_swiglu_ffn: model.swiglu,
        num_register_tokens: model.registers,
    };
    encoder.check()?;
    Ok(encoder)
}

/// The network at step 0. Heads come from `init`'s files, from the features of `films`, or from chance, as
/// `head.start` says.
///
/// # Errors
/// Those of reading heads and films.
pub fn network<B: Backend>(
    config: &Config,
    backbone: &Backbone,
    init: Option<&Path>,
    films: &Films,
    device: &B::Device,
    note: &dyn Fn(&str),
) -> Result<Network<B>> {
    let encoder = Encoder::<B>::from_weights(&backbone.weights, device)?;
    let (head, seed, dim) = (&config.head, config.train.seed, backbone.weights.config.hidden_size);
    let stored = match (head.start, init) {
        (Start::Auto, Some(dir)) => export::read_head(&dir.join(DINO_HEAD))?,
        _ => None,
    };
    let (cls, patch) = if let Some(cls) = stored {
        note("heads: those of the checkpoint");
        let own = init.map(|dir| export::read_head(&dir.join(IBOT_HEAD))).transpose()?.flatten();
        let patch = config.head.separate.then(|| own.unwrap_or_else(|| cls.clone()));
        (cls, patch)
    } else if head.start == Start::Features || (head.start == Start::Auto && init.is_some()) {
        note("heads: whitened features of the start");
        let found = features(config, backbone, &encoder, films, device, note)?;
        let cls = whitening::head(&found.cls, dim, head.whitened, head.prototypes, seed)?;
        let patch = || whitening::head(&found.patches, dim, head.whitened, head.prototypes, seed ^ 1);
        (cls, head.separate.then(patch).transpose()?)
    } else {
        note("heads: random");
        let make = |seed| HeadWeights::random(dim, head.hidden, head.bottleneck, head.layers, head.prototypes, seed);
        (make(seed ^ 2), head.separate.then(|| make(seed ^ 3)))
    };
    for weights in [Some(&cls), patch.as_ref()].into_iter().flatten() {
        if weights.inputs != dim {
            return Err(Error::new(
                ErrorKind::Checkpoint,
                format!("the head takes {} values, the encoder gives {dim}", weights.inputs),
            )
            .hint("head and encoder must belong together"));
        }
    }
    let ibot_head = patch.map(|weights| DinoHead::from_weights(&weights, device)).transpose()?;
    Ok(Network { encoder, dino_head: DinoHead::from_weights(&cls, device)?, ibot_head })
}

struct Features {
    /// [n, D]
    cls: Vec<f32>,
    /// [n · PATCHES, D], of random places.
    patches: Vec<f32>,
}

/// Features of whole films (their largest centred square) by the encoder as it starts.
fn features<B: Backend>(
    config: &Config,
    backbone: &Backbone,
    encoder: &Encoder<B>,
    films: &Films,
    device: &B::Device,
    note: &dyn Fn(&str),
) -> Result<Features> {
    let size = config.crops.global_size;
    let wanted = config.head.films.min(films.len());
    let mut random = Random::stream(config.train.seed, 0x7768_6974);
    let mut order: Vec<usize> = (0..films.len()).collect();
    (1..order.len()).for_each(|i| order.swap(i, random.below(i + 1)));
    let mut found = Features { cls: Vec::new(), patches: Vec::new() };
    let (mut pixels, mut held, mut taken) = (Vec::new(), 0, 0);
    let mut remaining = order.into_iter();
    while taken + held < wanted {
        let Some(i) = remaining.next() else { break };
        let film = match films.read(i) {
            Ok(film) => film,
            Err(error) => {
                note(&format!("skipped: {error}"));
                continue;
            }
        };
        let side = film.width.min(film.height);
        let (left, top) = ((film.width - side) / 2, (film.height - side) / 2);
        let square = Rectangle { left, top, width: side, height: side };
        push_normalized(&film.crop(square, size), &backbone.preprocessing, &mut pixels);
        held += 1;
        if held == FILMS || taken + held == wanted {
            run(encoder, std::mem::take(&mut pixels), held, size, device, &mut random, &mut found)?;
            (taken, held) = (taken + held, 0);
        }
    }
    if held > 0 {
        run(encoder, pixels, held, size, device, &mut random, &mut found)?;
    }
    Ok(found)
}

fn run<B: Backend>(
    encoder: &Encoder<B>,
    pixels: Vec<f32>,
    n: usize,
    size: usize,
    device: &B::Device,
    random: &mut Random,
    found: &mut Features,
) -> Result<()> {
    let pixels = Tensor::<B, 4>::from_data(TensorData::new(pixels, [n, 3, size, size]), device);
    let (cls, patches) = encoder.split(encoder.forward(pixels, None, None)?);
    let [_, count, d] = patches.dims();
    found.cls.extend(values(cls));
    let patches = values(patches);
    for film in patches.chunks_exact(count * d) {
        for _ in 0..PATCHES {
            let at = random.below(count);
            found.patches.extend_from_slice(&film[at * d..(at + 1) * d]);
        }
    }
    Ok(())
}
