//! What the loader makes beside what a training step eats, films a second: default.toml's views (2 × 224, 8 × 98) of PNG
//! films and of the same films packed, and whole steps of ViT-S/14 on the CPU by burn's flex backend.
//! `cargo bench -p rad-dino-benches --bench loader [-- MANIFEST.csv]`; without a manifest the films are phantoms.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use rad_dino_edge::Result;
use rad_dino_edge::scan::{self, Limits};
use rad_dino_train::data::augment::Film;
use rad_dino_train::data::loader::{Films, Loader};
use rad_dino_train::data::{Dataset, Manifest, pack, phantom};
use rad_dino_train::pretrain::config::{Config, Start};
use rad_dino_train::pretrain::trainer::Trainer;
use rad_dino_train::pretrain::{films, start};

/// Films of a micro-batch, as small as a step on two cores needs it.
const FILMS: usize = 4;
/// Micro-batches that are timed.
const BATCHES: usize = 12;
/// Steps that are timed, after one that is not.
const STEPS: usize = 2;

fn main() -> Result<()> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let given = std::env::args().skip(1).find(|word| !word.starts_with('-')).map(PathBuf::from);
    let manifest = given.map_or_else(|| phantoms(folder.path()), Ok)?;
    let packed = folder.path().join("films.pack");
    let dataset = Dataset::read(std::slice::from_ref(&manifest))?;
    let read = |path: &Path| scan::read(path, &Limits::default()).map(|scan| Film::new(&scan));
    pack::write(&packed, dataset.films.iter().map(|f| (read(&f.path), f.row.split())), 256, |e| eprintln!("{e}"))?;

    let mut config = Config::default();
    config.train.films = FILMS;
    config.head.start = Start::Random;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let step = step(&config, &films::collect(std::slice::from_ref(&manifest), &config.train, Limits::default())?)?;
    println!("{:<34}{:>10}{:>18}", "", "films/s", "times a CPU step");
    println!("{:<34}{step:>10.2}", format!("step, ViT-S/14, {cores} threads"));
    let mut counts = vec![1];
    counts.extend((cores > 1).then_some(cores));
    for (name, data) in [("PNG", &manifest), ("pack", &packed)] {
        for &workers in &counts {
            let all = films::collect(std::slice::from_ref(data), &config.train, Limits::default())?;
            let speed = load(&config, all, workers)?;
            println!("{:<34}{speed:>10.2}{:>18.1}", format!("loader, {name}, workers = {workers}"), speed / step);
        }
    }
    println!("a device that eats F films/s needs 2 F / (films/s of one worker) workers to never wait");
    Ok(())
}

/// Twenty-four phantoms of 512 pixels and their manifest.
fn phantoms(folder: &Path) -> Result<PathBuf> {
    let rows = (0..24).map(|i| phantom::film(1, i, 512).write(folder, i as usize)).collect::<Result<Vec<_>>>()?;
    let path = folder.join("manifest.csv");
    Manifest { folder: folder.to_owned(), other_columns: Vec::new(), rows }.write(&path)?;
    Ok(path)
}

/// Films a second of the loader alone.
fn load(config: &Config, films: Films, workers: usize) -> Result<f64> {
    let backbone = start::backbone(config, None)?;
    let recipe = films::recipe(config, &backbone.preprocessing, backbone.weights.config.patch_size);
    let mut loader = Loader::start(recipe, films, 0, workers, true)?;
    // those that were being made while the loader started
    (0..2 * workers).try_for_each(|_| loader.next_batch().map(drop))?;
    let begun = Instant::now();
    (0..BATCHES).try_for_each(|_| loader.next_batch().map(drop))?;
    Ok((BATCHES * FILMS) as f64 / begun.elapsed().as_secs_f64())
}

/// Films a second of training steps on ready batches.
fn step(config: &Config, films: &Films) -> Result<f64> {
    let device = Default::default();
    let backbone = start::backbone(config, None)?;
    let network = start::network::<Flex>(config, &backbone, None, films, &device, &|_| ())?;
    let mut trainer = Trainer::new(config, AutodiffModule::<Autodiff<Flex>>::from_inner(network), &device);
    let recipe = films::recipe(config, &backbone.preprocessing, backbone.weights.config.patch_size);
    let mut loader = Loader::start(recipe, films.clone(), 0, 1, true)?;
    let batches = (0..=STEPS).map(|_| loader.next_batch()).collect::<Result<Vec<_>>>()?;
    drop(loader);
    let mut begun = Instant::now();
    for (i, batch) in batches.into_iter().enumerate() {
        trainer.step(i, 1000, vec![batch])?;
        if i == 0 {
            begun = Instant::now();
        }
    }
    Ok((STEPS * FILMS) as f64 / begun.elapsed().as_secs_f64())
}
