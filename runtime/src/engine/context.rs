//! What all fused operators of an engine share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rad_dino_kernels::Kernels;

use super::scratch::Scratch;

/// Kernels, scratch and the attention record.
#[derive(Debug)]
pub struct Context {
    /// The instruction set chosen at start.
    pub kernels: Box<dyn Kernels>,
    /// Shared memory.
    pub scratch: Scratch,
    attention: Mutex<Vec<f32>>,
    heads_nanos: AtomicU64,
}

impl Context {
    /// A context with this memory.
    pub fn new(kernels: Box<dyn Kernels>, scratch: Scratch) -> Self {
        Context { kernels, scratch, attention: Mutex::default(), heads_nanos: AtomicU64::new(0) }
    }

    /// Keeps one image's CLS attention ([T], mean over heads).
    pub fn record_attention(&self, image: usize, tokens: usize, per_head: &[f32]) {
        let heads = (per_head.len() / tokens.max(1)).max(1) as f32;
        let mut record = self.attention.lock().unwrap_or_else(PoisonError::into_inner);
        if image == 0 {
            record.clear();
        }
        let start = record.len();
        record.resize(start + tokens, 0.0);
        for head in per_head.chunks_exact(tokens) {
            for (sum, p) in record[start..].iter_mut().zip(head) {
                *sum += p / heads;
            }
        }
    }

    /// The last call's CLS attention of the last block, [n, T]; afterwards there is none.
    pub fn take_attention(&self) -> Vec<f32> {
        std::mem::take(&mut *self.attention.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps how long the heads of a call took.
    pub fn record_heads(&self, time: Duration) {
        self.heads_nanos.store(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long the heads of the last call took.
    pub fn heads_time(&self) -> Duration {
        Duration::from_nanos(self.heads_nanos.load(Ordering::Relaxed))
    }
}
