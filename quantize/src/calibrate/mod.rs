//! int8 by calibration films: each layer is levelled and clipped where that lowers the error at its output; then each
//! layer alone is made int8 to see what it does to the CLS token; the most harmful ones keep f16 weights, within a budget
//! and only as far as the target asks for.

mod choose;
mod films;
mod report;
mod simulate;

use std::path::PathBuf;

use rad_dino_edge::checkpoint::{EncoderWeights, PositionInterpolation};
use rad_dino_edge::engine::{Block, Engine, LayerInputs};
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::{Error, ErrorKind, Result};
use rad_dino_train::data::Dataset;

pub use report::{LayerReport, Report};
pub use simulate::Cosines;
pub(crate) use simulate::cosine;

use crate::fold::{FoldedBlock, Layer};
use crate::rounded::Rounded;
use simulate::Simulator;

/// How to calibrate.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Manifests of films; those of split val are taken, of train where there are none, never of test.
    pub data: Vec<PathBuf>,
    /// Most films.
    pub films: usize,
    /// Largest share of the blocks' weights that may stay f16, 0 to 1.
    pub fallback_budget: f64,
    /// Layers stay f16 until the CLS cosine with fp32 reaches this on average, and twice its distance from 1 on the worst
    /// film.
    pub target_cosine: f64,
}

impl Calibration {
    /// Films unless said otherwise.
    pub const FILMS: usize = 32;
    /// Budget unless said otherwise.
    pub const FALLBACK_BUDGET: f64 = 0.1;
    /// Target unless said otherwise: what Contract 2 promises.
    pub const TARGET_COSINE: f64 = 0.999;

    /// These films and everything else unless said otherwise.
    pub fn new(data: Vec<PathBuf>) -> Self {
        Calibration {
            data,
            films: Self::FILMS,
            fallback_budget: Self::FALLBACK_BUDGET,
            target_cosine: Self::TARGET_COSINE,
        }
    }
}

/// Films of the scan of single layers, the first ones.
const SCAN_FILMS: usize = 8;

/// Blocks ready to be written, and what was found.
pub(crate) struct Calibrated {
    pub blocks: Vec<(FoldedBlock, [Rounded; 4])>,
    pub report: Report,
}

/// Calibrates the network `weights` at `image_size`. `progress` is told steps done and steps in all.
pub(crate) fn calibrate(
    weights: &EncoderWeights,
    image_size: usize,
    position: PositionInterpolation,
    preprocessing: &Preprocessing,
    options: &Calibration,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Calibrated> {
    let shares = [options.fallback_budget, options.target_cosine];
    if !shares.iter().all(|share| (0.0..=1.0).contains(share)) || options.films == 0 {
        let message = "a calibration needs films, and a budget and a target between 0 and 1";
        return Err(
            Error::new(ErrorKind::Usage, message).hint("see --calibration-films, --fallback-budget, --target-cosine")
        );
    }
    let dataset = Dataset::read(&options.data)?;
    let chosen = films::choose(&dataset, options.films);
    let skipped = |path: &std::path::Path, error: &Error| eprintln!("skipped: {}: {error}", path.display());
    let pixels = films::pixels(&dataset, &chosen, preprocessing, skipped)?;
    let engine = Engine::from_weights(weights, image_size, position, None, None, String::new(), 0)?;
    let network = engine.network().ok_or_else(|| Error::new(ErrorKind::Internal, "an engine without a network"))?;
    let simulator = Simulator { network, config: &weights.config };
    Ok(engine.alone(|| run(&simulator, weights, &pixels, options, progress)))
}

fn of(inputs: &LayerInputs, layer: Layer) -> &[f32] {
    match layer {
        Layer::Qkv => &inputs.qkv,
        Layer::Output => &inputs.output,
        Layer::Fc1 => &inputs.fc1,
        Layer::Fc2 => &inputs.fc2,
    }
}

fn run(
    simulator: &Simulator<'_>,
    weights: &EncoderWeights,
    pixels: &[Vec<f32>],
    options: &Calibration,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Calibrated {
    let (budget, target) = (options.fallback_budget, options.target_cosine);
    let depth = weights.blocks.len();
    let steps = 2 * depth + 1;
    let heads = weights.config.num_attention_heads;
    let embedded: Vec<Vec<f32>> = pixels.iter().map(|film| simulator.embed(film)).collect();
    let mut tokens = embedded.clone();
    // What goes into each block, of the films of the scan.
    let mut starts: Vec<Vec<Vec<f32>>> = Vec::with_capacity(depth);
    let (mut blocks, mut layers, mut plain) = (Vec::with_capacity(depth), Vec::new(), Vec::with_capacity(depth));
    for (i, (block, (_, exact))) in weights.blocks.iter().zip(&simulator.network.parts.blocks).enumerate() {
        progress(i, steps);
        starts.push(tokens.iter().take(SCAN_FILMS).cloned().collect());
        let context = &simulator.network.context;
        let inputs: Vec<LayerInputs> = tokens.iter_mut().map(|x| exact.trace(context, x)).collect();
        let mut folded = FoldedBlock::new(block.clone(), heads);
        plain.push(simulator.block(&folded, &Rounded::block(&folded, Precision::Int8), true));
        // The output projection first: its levelling changes the columns of qkv.
        let mut chosen = [Layer::Output, Layer::Qkv, Layer::Fc1, Layer::Fc2].map(|layer| {
            let films: Vec<&[f32]> = inputs.iter().map(|inputs| of(inputs, layer)).collect();
            choose::layer(simulator, &mut folded, layer, &films)
        });
        chosen.swap(0, 1);
        let [qkv, output, fc1, fc2] = chosen;
        for (_, report) in [&qkv, &output, &fc1, &fc2] {
            layers.push(LayerReport { block: i, ..report.clone() });
        }
        blocks.push((folded, [qkv.0, output.0, fc1.0, fc2.0]));
    }
    let expected: Vec<Vec<f32>> = tokens.iter().map(|x| simulator.norm(x)).collect();
    for (i, (folded, rounded)) in blocks.iter().enumerate() {
        progress(depth + i, steps);
        for (layer, rounded) in Layer::ALL.into_iter().zip(rounded) {
            let block = simulator.block(folded, &simulate::alone(layer, rounded.clone()), false);
            let found = starts[i].iter().map(|start| {
                let mut x = start.clone();
                block.forward(&simulator.network.context, 0, &mut x);
                simulator.finish(x, i + 1)
            });
            layers[4 * i + layer as usize].cls_cosine_alone = simulator.compare(found, &expected).cls_mean;
        }
    }
    progress(2 * depth, steps);
    let plain = simulator.run(&plain, &embedded, &expected);
    let mut packed: Vec<Block> =
        blocks.iter().map(|(folded, rounded)| simulator.block(folded, rounded, true)).collect();
    let calibrated = simulator.run(&packed, &embedded, &expected);
    let all: usize = layers.iter().map(|layer| layer.weights).sum();
    let mut written = calibrated;
    let mut spent = 0;
    let mut order: Vec<usize> = (0..layers.len()).collect();
    let harm = |i: &usize| (1.0 - layers[*i].cls_cosine_alone) / layers[*i].weights as f64;
    order.sort_by(|a, b| harm(b).total_cmp(&harm(a)));
    for i in order {
        if written.cls_mean >= target && written.cls_worst >= 1.0 - 2.0 * (1.0 - target) {
            break;
        }
        let weights = layers[i].weights;
        if (spent + weights) as f64 > budget * all as f64 {
            continue;
        }
        let (folded, rounded) = &mut blocks[i / 4];
        rounded[i % 4] = Rounded::F16;
        packed[i / 4] = simulator.block(folded, rounded, true);
        written = simulator.run(&packed, &embedded, &expected);
        layers[i].format = "fp16";
        spent += weights;
    }
    progress(steps, steps);
    let report = Report {
        schema: report::SCHEMA,
        films: pixels.len(),
        plain,
        calibrated,
        written,
        fallback_budget: budget,
        fallback_share: spent as f64 / all.max(1) as f64,
        layers,
    };
    Calibrated { blocks, report }
}
