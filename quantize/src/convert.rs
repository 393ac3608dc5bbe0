//! `convert`: a checkpoint folder in, a model file out.

use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::{Checkpoint, Config, PositionInterpolation, Probes, position};
use rad_dino_edge::model::manifest::{Architecture, MANIFEST_KEY, MANIFEST_SCHEMA, Manifest, NOTICE, Precision};
use rad_dino_edge::output::write::atomic;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::{Error, ErrorKind, Result};

use crate::calibrate::{Calibration, Report, calibrate};
use crate::fold::FoldedBlock;
use crate::onnx::{self, Builder};
use crate::rounded::Rounded;

/// What to make of a checkpoint.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number format of the weights.
    pub precision: Precision,
    /// S, pixels; the preprocessor's crop when None.
    pub image_size: Option<usize>,
    /// The file to write.
    pub out: PathBuf,
    /// Name in the manifest; the folder's name when None.
    pub name: Option<String>,
    /// Version in the manifest; `1` when None.
    pub model_version: Option<String>,
    /// How the position table is resampled.
    pub position: PositionInterpolation,
    /// Films that int8 is calibrated on; None rounds every layer as it is.
    pub calibration: Option<Calibration>,
}

impl Options {
    /// The given precision and file, everything else from the checkpoint.
    pub fn new(precision: Precision, out: impl Into<PathBuf>) -> Self {
        Options {
            precision,
            image_size: None,
            out: out.into(),
            name: None,
            model_version: None,
            position: PositionInterpolation::Size,
            calibration: None,
        }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Size of the file.
    pub bytes: u64,
    /// sha256 (hex) of the file.
    pub sha256: String,
    /// Outputs of the graph, in order.
    pub outputs: Vec<String>,
    /// The manifest inside the file.
    pub manifest: Manifest,
    /// What calibration found, also in [`calibration_path`].
    pub calibration: Option<Report>,
}

/// Where the JSON of a calibration is written: `X.calibration.json` beside `X.onnx`.
pub fn calibration_path(out: &Path) -> PathBuf {
    out.with_extension("calibration.json")
}

/// Converts `checkpoint` (a folder) as `options` say. Errors: what [`Checkpoint::open`] and
/// [`Checkpoint::encoder_weights`] refuse; a folder without `preprocessor_config.json`; an image size that the patch
/// side does not divide; weights that do not fit the precision; calibration of another precision than int8 or without
/// readable films; a file above 2 GiB; a failed write.
pub fn convert(checkpoint: &Path, options: &Options) -> Result<Summary> {
    convert_with(checkpoint, options, |_, _| {})
}

/// [`convert`] that tells `progress` how many of how many steps (blocks, without calibration) are done.
pub fn convert_with(
    checkpoint: &Path,
    options: &Options,
    mut progress: impl FnMut(usize, usize) + Send,
) -> Result<Summary> {
    if options.calibration.is_some() && options.precision != Precision::Int8 {
        return Err(Error::new(ErrorKind::Usage, "only int8 is calibrated").hint("add --precision int8"));
    }
    let folder = Checkpoint::open(checkpoint)?;
    let config = folder.config().clone();
    let preprocessing = folder.preprocessing().ok_or_else(|| {
        let message = format!("{}: no preprocessor_config.json in this folder", checkpoint.display());
        Error::new(ErrorKind::Checkpoint, message).hint("a model file says how pixels are made; copy the file there")
    })?;
    let image_size = options.image_size.unwrap_or(preprocessing.crop_size);
    check_image_size(image_size, config.patch_size)?;
    let preprocessing = preprocessing.with_image_size(image_size);
    preprocessing.validate()?;
    let probes = Probes::read(checkpoint, config.hidden_size)?;

    let mut weights = folder.encoder_weights()?;
    let positions = position::interpolate(&weights, image_size / config.patch_size, options.position)?;
    let mut builder = Builder::new(&config, options.precision, image_size);
    builder.patch_embed(&weights, &positions)?;
    let calibrated = options.calibration.as_ref().map(|calibration| {
        calibrate(&weights, image_size, options.position, &preprocessing, calibration, &mut progress)
    });
    let blocks = std::mem::take(&mut weights.blocks);
    let report = match calibrated.transpose()? {
        Some(calibrated) => {
            for (i, (block, rounded)) in calibrated.blocks.iter().enumerate() {
                builder.block(i, block, rounded)?;
            }
            Some(calibrated.report)
        }
        None => {
            let depth = blocks.len();
            // each block is dropped as soon as it is in the graph
            for (i, block) in blocks.into_iter().enumerate() {
                progress(i, depth);
                let block = FoldedBlock::new(block, config.num_attention_heads);
                builder.block(i, &block, &Rounded::block(&block, options.precision))?;
            }
            progress(depth, depth);
            None
        }
    };
    builder.final_norm(&weights.norm_weight, &weights.norm_bias);
    if let Some(probes) = &probes {
        builder.probes(probes);
    }

    let manifest = manifest(checkpoint, &folder, options, preprocessing, probes.unwrap_or_default());
    let text = serde_json::to_string(&manifest)
        .map_err(|e| Error::new(ErrorKind::Internal, format!("manifest: {e}")).source(e))?;
    let (bytes, sha256) = onnx::write(&options.out, &builder, &[(MANIFEST_KEY, &text)])?;
    if let Some(report) = &report {
        let json = serde_json::to_string_pretty(report)
            .map_err(|e| Error::new(ErrorKind::Internal, format!("calibration: {e}")).source(e))?;
        atomic(&calibration_path(&options.out), |file| writeln!(file, "{json}"))?;
    }
    Ok(Summary { bytes, sha256, outputs: builder.output_names(), manifest, calibration: report })
}

fn check_image_size(image_size: usize, patch: usize) -> Result<()> {
    if image_size >= patch && image_size.is_multiple_of(patch) && image_size / patch <= position::MAX_TARGET_GRID {
        return Ok(());
    }
    let below = (image_size / patch).clamp(1, position::MAX_TARGET_GRID - 1) * patch;
    Err(Error::new(ErrorKind::Usage, format!("image size {image_size} is no multiple of the patch side {patch}"))
        .hint(format!("try --image-size {below} or {}", below + patch)))
}

fn manifest(
    dir: &Path,
    folder: &Checkpoint,
    options: &Options,
    preprocessing: Preprocessing,
    probes: Probes,
) -> Manifest {
    Manifest {
        schema: MANIFEST_SCHEMA.to_owned(),
        name: options.name.clone().unwrap_or_else(|| folder_name(dir)),
        version: options.model_version.clone().unwrap_or_else(|| "1".to_owned()),
        precision: options.precision,
        architecture: architecture(folder.config(), preprocessing.crop_size),
        preprocessing,
        heads: probes.config.heads,
        out_of_distribution: probes.config.out_of_distribution,
        training_data: probes.config.training_data,
        licence: probes.config.licence,
        metrics: probes.config.metrics,
        parent_sha256: folder.sha256(),
        notice: NOTICE.to_owned(),
    }
}

fn architecture(config: &Config, image_size: usize) -> Architecture {
    Architecture {
        family: config.model_type.clone(),
        image_size,
        patch_size: config.patch_size,
        embed_dim: config.hidden_size,
        depth: config.num_hidden_layers,
        num_heads: config.num_attention_heads,
        mlp_dim: config.mlp_dim(),
        num_register_tokens: config.num_register_tokens,
    }
}

/// The last part of the folder's path, also for `.` and `x/..`.
pub(crate) fn folder_name(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    whole.file_name().map_or_else(|| "encoder".to_owned(), |name| name.to_string_lossy().into_owned())
}
