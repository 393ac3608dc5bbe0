//! Memory that the fused operators share: each thread's is sized at load, the image's grows in the first call and is kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rad_dino_kernels::{HeadShape, TokenBlock};

use super::linear::Quantised;
use super::parts::Parts;

/// Most rows handled by one task: the tokens of an attention block; few enough that their hidden rows stay in cache.
const CHUNK: usize = TokenBlock::TOKENS;

/// [`CHUNK`] and the left-over rows that may ride along (see `Block`).
const MOST_ROWS: usize = CHUNK + CHUNK / 4;

/// Scratch of one thread.
#[derive(Clone, Debug, Default)]
pub struct RowScratch {
    pub(super) rows: Vec<f32>,
    pub(super) hidden: Vec<f32>,
    pub(super) quantised: Quantised,
    /// The CLS token's probabilities, [H, T].
    pub(super) cls: Vec<f32>,
}

/// Scratch of one image's pass through a block.
#[derive(Debug, Default)]
pub struct ImageScratch {
    /// [T, 3D] of f32 attention.
    pub qkv: Vec<f32>,
    /// Packed keys of f32 attention, head by head.
    pub keys: Vec<f32>,
    /// Packed values of f32 attention, head by head.
    pub values: Vec<f32>,
    /// Operands of int8 attention.
    pub blocks: Vec<TokenBlock>,
}

/// All scratch of an engine.
#[derive(Debug)]
pub struct Scratch {
    image: Mutex<ImageScratch>,
    threads: Vec<Mutex<RowScratch>>,
}

impl Scratch {
    /// For `threads` threads, each ready for any task of `parts`: which thread gets which task differs from call to call.
    pub fn new(threads: usize, parts: &Parts) -> Self {
        let width = parts.patch_embed.width();
        let tokens = parts.patch_embed.tokens();
        let most = MOST_ROWS.min(tokens);
        let mut size = RowScratch::default();
        sized(&mut size.rows, most * width.max(parts.patch_embed.projection.k()));
        for (_, block) in &parts.blocks {
            let shape = HeadShape { tokens, width, head_dim: width / block.heads };
            let hidden = most * block.fc1.outputs().max(3 * width);
            sized(&mut size.hidden, hidden.max(shape.scores_len()).max(shape.sums_len()));
            sized(&mut size.cls, block.heads * tokens);
            for linear in [&block.qkv, &block.output, &block.fc1, &block.fc2] {
                linear.reserve(most, &mut size.quantised);
            }
        }
        Scratch::of(threads, &size)
    }

    /// For `threads` threads that start with `size` each.
    pub fn of(threads: usize, size: &RowScratch) -> Self {
        let threads = (0..threads.max(1)).map(|_| Mutex::new(size.clone())).collect();
        Scratch { image: Mutex::default(), threads }
    }

    /// Rows of a task when `tokens` rows are shared out: [`CHUNK`], or a half or a quarter of it where that leaves threads
    /// without work.
    pub fn chunk(&self, tokens: usize) -> usize {
        let busy = |rows: &usize| tokens >= rows * self.threads.len();
        [CHUNK, CHUNK / 2].into_iter().find(busy).unwrap_or(CHUNK / 4)
    }

    /// The per-image scratch. Only one forward pass runs at a time in a lane, so it is never contended.
    pub fn image(&self) -> MutexGuard<'_, ImageScratch> {
        self.image.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The current thread's row scratch. Hold it only where no parallel call follows.
    pub fn rows(&self) -> MutexGuard<'_, RowScratch> {
        let index = rayon::current_thread_index().unwrap_or(0) % self.threads.len();
        self.threads[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Grows `buffer` to at least `len` and returns its first `len` values.
pub fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
