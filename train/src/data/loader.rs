//! Batches of views, made on worker threads ahead of the device.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::{self, Limits};
use rad_dino_edge::{Error, ErrorKind, Result};

use super::augment::{Augment, Film, push_normalized};
use super::pack::Pack;
use crate::random::Random;
use crate::ssl::masking::Masking;
use crate::ssl::multi_crop::{Crop, MultiCrop};

/// Where one film lies.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a file of its own.
    File(PathBuf),
    /// The i-th of a packed file.
    Packed(Arc<Pack>, usize),
}

/// The films of a run.
#[derive(Clone, Debug)]
pub struct Films {
    /// In the order of the manifests.
    pub places: Arc<Vec<Place>>,
    /// On files.
    pub limits: Limits,
}

impl Films {
    /// How many.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The i-th film, decoded.
    ///
    /// # Errors
    /// Whatever is wrong with it; the message names it.
    pub fn read(&self, i: usize) -> Result<Film> {
        match self.places.get(i) {
            Some(Place::File(path)) => Ok(Film::new(&scan::read(path, &self.limits)?)),
            Some(Place::Packed(pack, i)) => pack.film(*i),
            None => Err(Error::new(ErrorKind::Internal, format!("no film {i}"))),
        }
    }
}

/// How views are made.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Films a micro-batch.
    pub films: usize,
    /// Crops.
    pub crops: MultiCrop,
    /// Of the global crops.
    pub masking: Masking,
    /// Of all crops.
    pub augment: Augment,
    /// Mean and deviation.
    pub preprocessing: Preprocessing,
    /// p, pixels.
    pub patch_size: usize,
    /// Everything drawn follows from it.
    pub seed: u64,
}

/// One micro-batch on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// [2b, 3, S, S], crop after crop.
    pub globals: Vec<f32>,
    /// [L·b, 3, s, s], crop after crop.
    pub locals: Vec<f32>,
    /// [2b, P], true = hidden.
    pub masks: Vec<bool>,
    /// Seconds its making took on one thread.
    pub seconds: f64,
}

/// Films that could not be read: named once on stderr, counted, and replaced by others.
#[derive(Debug, Default)]
pub struct Skipped(Mutex<BTreeSet<usize>>);

impl Skipped {
    /// How many films so far.
    pub fn count(&self) -> usize {
        self.0.lock().map_or(0, |films| films.len())
    }

    fn note(&self, film: usize, error: &Error, quiet: bool) {
        if self.0.lock().is_ok_and(|mut films| films.insert(film)) && !quiet {
            eprintln!("skipped: {error}");
        }
    }
}

impl Recipe {
    /// Micro-batch `index` of the run: the same for the same seed, whatever was made before and on however many threads.
    ///
    /// # Errors
    /// `Data` when no film can be read.
    pub fn make(&self, films: &Films, index: u64, skipped: &Skipped, quiet: bool) -> Result<Batch> {
        let started = std::time::Instant::now();
        let MultiCrop { global, local, locals } = self.crops;
        let mut views: Vec<Vec<f32>> = vec![Vec::new(); 2 + locals];
        for b in 0..self.films {
            let counter = index * self.films as u64 + b as u64;
            let film = self.film(films, counter, skipped, quiet)?;
            let mut random = Random::stream(self.seed, counter.wrapping_add(1 << 40));
            for (i, out) in views.iter_mut().enumerate() {
                self.view(&film, if i < 2 { global } else { local }, &mut random, out);
            }
        }
        let grid = global.size / self.patch_size;
        let mut random = Random::stream(self.seed ^ 0x6d61_736b, index);
        let masks = self.masking.draw(2 * self.films, grid, &mut random);
        let locals = views.split_off(2).concat();
        Ok(Batch { globals: views.concat(), locals, masks, seconds: started.elapsed().as_secs_f64() })
    }

    fn view(&self, film: &Film, crop: Crop, random: &mut Random, out: &mut Vec<f32>) {
        let rectangle = crop.draw(film.width, film.height, random);
        let mut view = film.crop(rectangle, crop.size);
        self.augment.apply(&mut view, crop.size, random);
        push_normalized(&view, &self.preprocessing, out);
    }

    /// The `counter`-th film of the run: epoch after epoch of fresh permutations; another one in place of a bad film.
    fn film(&self, films: &Films, counter: u64, skipped: &Skipped, quiet: bool) -> Result<Film> {
        let n = films.len();
        let mut at = position(n, counter, self.seed);
        let mut random = Random::stream(self.seed ^ 0x7265_7472, counter);
        for _ in 0..n.saturating_mul(4).clamp(16, 4096) {
            match films.read(at) {
                Ok(film) => return Ok(film),
                Err(error) => skipped.note(at, &error, quiet),
            }
            at = random.below(n);
        }
        Err(Error::new(ErrorKind::Data, "none of the films could be read").hint("check --data"))
    }
}

/// Where the `counter`-th draw of sampling without replacement lands in 0..n: a keyed permutation per epoch by cycle
/// walking over a Feistel network, so that nothing needs to be kept.
pub fn position(n: usize, counter: u64, seed: u64) -> usize {
    if n < 2 {
        return 0;
    }
    let (epoch, start) = (counter / n as u64, counter % n as u64);
    let key = crate::random::mix(seed ^ crate::random::mix(epoch));
    let half = (64 - (n as u64 - 1).leading_zeros()).div_ceil(2).max(1);
    let mask = (1u64 << half) - 1;
    let mut x = start;
    loop {
        let (mut left, mut right) = (x >> half, x & mask);
        for round in 0..4u64 {
            let mixed = crate::random::mix(key ^ (right << 8) ^ round) & mask;
            (left, right) = (right, left ^ mixed);
        }
        x = (left << half) | right;
        if x < n as u64 {
            return x as usize;
        }
    }
}

/// Worker threads, each with every n-th micro-batch, and what they have ready.
#[derive(Debug)]
pub struct Loader {
    receivers: Vec<Receiver<Result<Batch>>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    /// Films left out so far.
    pub skipped: Arc<Skipped>,
    next: u64,
    first: u64,
}

impl Loader {
    /// Starts `workers` threads at micro-batch `first`; each keeps one batch ready.
    ///
    /// # Errors
    /// `Data` without films; `Internal` when threads cannot be started.
    pub fn start(recipe: Recipe, films: Films, first: u64, workers: usize, quiet: bool) -> Result<Self> {
        if films.is_empty() {
            return Err(Error::new(ErrorKind::Data, "there are no films to train on")
                .hint("--data needs rows of the splits that train.splits names"));
        }
        let workers = workers.clamp(1, 64);
        let mut loader = Loader {
            receivers: Vec::new(),
            threads: Vec::new(),
            stop: Arc::default(),
            skipped: Arc::default(),
            next: first,
            first,
        };
        for worker in 0..workers as u64 {
            let (sender, receiver) = sync_channel(1);
            let (recipe, films) = (recipe.clone(), films.clone());
            let (stop, skipped) = (loader.stop.clone(), loader.skipped.clone());
            let thread = std::thread::Builder::new().name(format!("loader-{worker}")).spawn(move || {
                work(&recipe, &films, first + worker, workers as u64, &sender, &stop, &skipped, quiet);
            });
            loader.threads.push(thread.map_err(|e| Error::new(ErrorKind::Internal, "no thread starts").source(e))?);
            loader.receivers.push(receiver);
        }
        Ok(loader)
    }

    /// The next micro-batch, in order.
    ///
    /// # Errors
    /// Those of [`Recipe::make`].
    pub fn next_batch(&mut self) -> Result<Batch> {
        let worker = ((self.next - self.first) % self.receivers.len() as u64) as usize;
        self.next += 1;
        let received = self.receivers.get(worker).map(Receiver::recv);
        match received {
            Some(Ok(batch)) => batch,
            _ => Err(Error::new(ErrorKind::Internal, "a loader thread gave up")),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // a worker that waits to hand over its batch wakes up when nobody listens any more
        self.receivers.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn work(
    recipe: &Recipe,
    films: &Films,
    first: u64,
    stride: u64,
    sender: &SyncSender<Result<Batch>>,
    stop: &AtomicBool,
    skipped: &Skipped,
    quiet: bool,
) {
    let mut index = first;
    while !stop.load(Ordering::Relaxed) {
        let batch = recipe.make(films, index, skipped, quiet);
        let failed = batch.is_err();
        if sender.send(batch).is_err() || failed {
            return;
        }
        index += stride;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            films: 3,
            crops: MultiCrop {
                global: Crop { size: 28, low: 0.32, high: 1.0 },
                local: Crop { size: 14, low: 0.05, high: 0.32 },
                locals: 2,
            },
            masking: Masking { probability: 0.5, low: 0.1, high: 0.5 },
            augment: Augment {
                jitter_probability: 0.8,
                jitter: 0.4,
                blur_probability: 0.3,
                blur_sigma: (0.3, 1.5),
                flip_probability: 0.0,
            },
            preprocessing: Preprocessing {
                shortest_edge: 28,
                crop_size: 28,
                rescale_factor: 1.0 / 255.0,
                image_mean: [0.5; 3],
                image_std: [0.25; 3],
            },
            patch_size: 7,
            seed: 11,
        }
    }

    fn films(dir: &std::path::Path, count: usize, bad: &[usize]) -> Films {
        let places = (0..count).map(|i| {
            let path = dir.join(format!("{i}.png"));
            match bad.contains(&i) {
                true => std::fs::write(&path, b"not a picture").unwrap(),
                false => {
                    let image =
                        image::GrayImage::from_fn(40, 36, |x, y| image::Luma([(x * 5 + y * 2 + i as u32) as u8]));
                    image.save(&path).unwrap();
                }
            }
            Place::File(path)
        });
        Films { places: Arc::new(places.collect()), limits: Limits::default() }
    }

    #[test]
    fn order_and_content_do_not_depend_on_threads_or_start() {
        let dir = tempfile::tempdir().unwrap();
        let films = films(dir.path(), 5, &[]);
        let take = |workers, first, count| {
            let mut loader = Loader::start(recipe(), films.clone(), first, workers, true).unwrap();
            (0..count).map(|_| loader.next_batch().unwrap()).map(|b| (b.globals, b.locals, b.masks)).collect::<Vec<_>>()
        };
        let one = take(1, 0, 5);
        assert_eq!(one, take(3, 0, 5));
        assert_eq!(one[2..], take(2, 2, 3));
        let (globals, locals, masks) = &one[0];
        assert_eq!((globals.len(), locals.len(), masks.len()), (6 * 3 * 28 * 28, 6 * 3 * 14 * 14, 6 * 16));
        assert_ne!(one[0], one[1]);
    }

    #[test]
    fn bad_films_are_counted_and_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mut loader = Loader::start(recipe(), films(dir.path(), 6, &[1, 4]), 0, 2, true).unwrap();
        for _ in 0..6 {
            loader.next_batch().unwrap();
        }
        assert_eq!(loader.skipped.count(), 2);
        let dir = tempfile::tempdir().unwrap();
        let mut none = Loader::start(recipe(), films(dir.path(), 2, &[0, 1]), 0, 1, true).unwrap();
        assert_eq!(none.next_batch().unwrap_err().kind(), ErrorKind::Data);
    }

    #[test]
    fn an_epoch_sees_every_film_once() {
        for n in [1usize, 2, 3, 7, 64, 100, 1000] {
            for epoch in 0..3u64 {
                let mut seen: Vec<usize> = (0..n as u64).map(|i| position(n, epoch * n as u64 + i, 5)).collect();
                let order = seen.clone();
                seen.sort_unstable();
                assert_eq!(seen, (0..n).collect::<Vec<_>>());
                if n == 1000 && epoch > 0 {
                    assert_ne!(order, (0..n as u64).map(|i| position(n, i, 5)).collect::<Vec<_>>());
                }
            }
        }
    }
}
