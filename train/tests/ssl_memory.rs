//! What training holds in memory, by a counting allocator: recomputed blocks, and no growth over steps.
#![cfg(feature = "burn")]

use std::sync::{Mutex, PoisonError};

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use peak_alloc::PeakAlloc;
use rad_dino_edge::checkpoint::Config as EncoderConfig;
use rad_dino_edge::scan::Limits;
use rad_dino_train::data::loader::{Batch, Films};
use rad_dino_train::pretrain::Config;
use rad_dino_train::pretrain::start;
use rad_dino_train::pretrain::trainer::Trainer;
use rad_dino_train::random::Random;
use rad_dino_train::vit::initial;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// One test at a time: they share the allocator.
static ALONE: Mutex<()> = Mutex::new(());

fn config() -> Config {
    Config::parse(include_str!("../configs/tiny-test.toml")).unwrap()
}

fn trainer(config: &Config, blocks: usize) -> Trainer<Autodiff<Flex>> {
    let device = Default::default();
    let mut backbone = start::backbone(config, None).unwrap();
    let shape = EncoderConfig { num_hidden_layers: blocks, ..backbone.weights.config.clone() };
    backbone.weights = initial::encoder(&shape, 1);
    let none = Films { places: Default::default(), limits: Limits::default() };
    let network = start::network::<Flex>(config, &backbone, None, &none, &device, &|_| ()).unwrap();
    Trainer::new(config, AutodiffModule::from_inner(network), &device)
}

/// The micro-batches of a step, the same shapes each time.
fn batches(config: &Config, step: usize) -> Vec<Batch> {
    let crops = &config.crops;
    let grid = crops.global_size / config.model.patch_size;
    let one = |part: usize| {
        let mut random = Random::stream(step as u64, part as u64);
        let mut normal = |n: usize| (0..n).map(|_| random.normal() as f32).collect::<Vec<_>>();
        let side = |size: usize| 3 * size * size;
        Batch {
            globals: normal(2 * config.train.films * side(crops.global_size)),
            locals: normal(crops.local_count * config.train.films * side(crops.local_size)),
            masks: (0..2 * config.train.films * grid * grid).map(|i| i % 4 == 0).collect(),
            seconds: 0.0,
        }
    };
    (0..config.train.accumulate).map(one).collect()
}

/// Bytes above what was there that a second step needed at its peak.
fn peak(config: &Config) -> usize {
    let mut trainer = trainer(config, 12);
    trainer.step(0, 100, batches(config, 0)).unwrap();
    let next = batches(config, 1);
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    trainer.step(1, 100, next).unwrap();
    HEAP.peak_usage() - before
}

#[test]
fn recomputed_blocks_are_not_kept() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut config = config();
    // activations outweigh the parameters
    (config.crops.global_size, config.crops.local_size) = (112, 56);
    config.train.accumulate = 1;
    let whole = peak(&config);
    config.train.recompute = true;
    let recomputed = peak(&config);
    println!("peak of a step: {whole} bytes, recomputed {recomputed}");
    assert!(recomputed * 3 < whole, "{recomputed} of {whole} bytes");
}

#[test]
fn memory_does_not_grow_over_steps() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (recompute, helpers) in [(false, 0), (true, 0), (false, 1)] {
        let mut config = config();
        config.train.recompute = recompute;
        let mut trainer = trainer(&config, 2);
        let mut live = Vec::new();
        for step in 0..60 {
            if step % 20 == 0 {
                trainer.share(&vec![Default::default(); helpers]).unwrap();
            }
            trainer.step(step, 100, batches(&config, step)).unwrap();
            if step % 20 == 19 {
                // helpers end, so that nothing is under way
                trainer.share(&[]).unwrap();
                live.push(HEAP.current_usage());
            }
        }
        println!("recompute {recompute}, {helpers} helpers: {live:?} bytes after 20, 40 and 60 steps");
        // hash tables of the graph double at times; a step that kept one matrix's gradient would be over it
        assert!(live[2] < live[0] + (128 << 10), "recompute {recompute}, {helpers} helpers: {live:?}");
    }
}
