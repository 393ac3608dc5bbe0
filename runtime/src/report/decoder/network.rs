//! The decoder's layers on our kernels, with cached keys and values.

use rad_dino_kernels::{Epilogue, Kernels};

use super::cache::Cache;
use super::manifest::Architecture;
use crate::engine::linear::{Linear, Quantised};

/// A token's row of the table.
#[derive(Debug)]
pub(super) enum Embedding {
    /// [V, D]
    F32(Vec<f32>),
    /// [V, D] and one scale a row.
    Int8(Vec<i8>, Vec<f32>),
}

/// fc2·gelu(fc1·x)
#[derive(Debug)]
pub(super) struct Projection {
    pub fc1: Linear,
    pub fc2: Linear,
}

/// x += O·attention(norm₁ x); x += down·(silu(gate)·up)(norm₂ x)
#[derive(Debug)]
pub(super) struct Block {
    /// [D]
    pub norm1: Vec<f32>,
    /// D → (H + 2·KV)·hd, q|k|v, q already divided by √hd.
    pub qkv: Linear,
    /// H·hd → D
    pub output: Linear,
    /// [D]
    pub norm2: Vec<f32>,
    /// D → 2F, gate|up.
    pub gate_up: Linear,
    /// F → D
    pub down: Linear,
}

/// All layers.
#[derive(Debug)]
pub(super) struct Network {
    pub kernels: Box<dyn Kernels>,
    pub shape: Architecture,
    pub embedding: Embedding,
    pub projection: Option<Projection>,
    pub blocks: Vec<Block>,
    /// [D]
    pub norm: Vec<f32>,
    /// D → V
    pub head: Linear,
    /// [hd/2], radians a position.
    pub frequencies: Vec<f32>,
}

/// Memory that one pass after the other uses.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    quantised: Quantised,
    normed: Vec<f32>,
    wide: Vec<f32>,
    attended: Vec<f32>,
    scores: Vec<f32>,
}

impl Network {
    /// Values of the widest row that a pass keeps for each position.
    pub fn widest(&self) -> usize {
        let shape = &self.shape;
        let heads = (shape.num_heads + 2 * shape.num_kv_heads) * shape.head_dim;
        let projected = self.projection.as_ref().map_or(0, |projection| projection.fc1.outputs());
        heads.max(2 * shape.intermediate_size).max(shape.hidden_size).max(projected)
    }

    /// Appends the rows of `tokens` [T] to `x` [.., D].
    pub fn embed(&self, tokens: &[u32], x: &mut Vec<f32>) {
        let d = self.shape.hidden_size;
        for token in tokens {
            let row = *token as usize * d..(*token as usize + 1) * d;
            match &self.embedding {
                Embedding::F32(table) => x.extend_from_slice(&table[row]),
                Embedding::Int8(table, scales) => {
                    let scale = scales[*token as usize];
                    x.extend(table[row].iter().map(|v| f32::from(*v) * scale));
                }
            }
        }
    }

    /// Appends the projections of `image` [I, E] to `x` [.., D].
    pub fn project(&self, image: &[f32], x: &mut Vec<f32>, scratch: &mut Scratch) {
        let Some(Projection { fc1, fc2 }) = &self.projection else { return };
        let (e, h, d) = (fc1.inputs(), fc1.outputs(), self.shape.hidden_size);
        let rows = image.len() / e;
        let hidden = sized(&mut scratch.wide, rows * h);
        fc1.apply(&*self.kernels, rows, image, e, &mut scratch.quantised, hidden, Epilogue::Gelu);
        let start = x.len();
        x.resize(start + rows * d, 0.0);
        fc2.apply(&*self.kernels, rows, hidden, h, &mut scratch.quantised, &mut x[start..], Epilogue::Store);
    }

    /// `x` [T, D] at the next T positions through all blocks; `cache` grows by T.
    pub fn forward(&self, x: &mut [f32], cache: &mut Cache, scratch: &mut Scratch) {
        let kernels = &*self.kernels;
        let Architecture { hidden_size: d, intermediate_size: f, head_dim: hd, num_heads, num_kv_heads, .. } =
            self.shape;
        let rows = x.len() / d;
        let (q, kv) = (num_heads * hd, num_kv_heads * hd);
        let turns = self.turns(cache.len(), rows);
        for (i, block) in self.blocks.iter().enumerate() {
            let normed = sized(&mut scratch.normed, rows * d);
            kernels.rms_norm(x, &block.norm1, self.shape.rms_norm_eps, normed);
            let qkv = sized(&mut scratch.wide, rows * (q + 2 * kv));
            block.qkv.apply(kernels, rows, normed, d, &mut scratch.quantised, qkv, Epilogue::Store);
            let attended = sized(&mut scratch.attended, rows * q);
            for ((row, turn), attended) in
                qkv.chunks_exact_mut(q + 2 * kv).zip(turns.chunks_exact(hd)).zip(attended.chunks_exact_mut(q))
            {
                row[..q + kv].chunks_exact_mut(hd).for_each(|head| rotate(head, turn));
                for (head, out) in attended.chunks_exact_mut(hd).enumerate() {
                    let own = head * num_kv_heads / num_heads;
                    if head % (num_heads / num_kv_heads) == 0 {
                        let from = q + own * hd;
                        cache.push(i, own, &row[from..from + hd], &row[from + kv..from + kv + hd]);
                    }
                    let (keys, values) = cache.of(i, own);
                    let scores = sized(&mut scratch.scores, (keys.len() / hd).next_multiple_of(16));
                    kernels.attend_cached(&row[head * hd..(head + 1) * hd], keys, values, scores, out);
                }
            }
            block.output.apply(kernels, rows, attended, q, &mut scratch.quantised, x, Epilogue::Residual);
            let normed = sized(&mut scratch.normed, rows * d);
            kernels.rms_norm(x, &block.norm2, self.shape.rms_norm_eps, normed);
            let hidden = sized(&mut scratch.wide, rows * 2 * f);
            block.gate_up.apply(kernels, rows, normed, d, &mut scratch.quantised, hidden, Epilogue::Store);
            kernels.swiglu(hidden, 2 * f);
            block.down.apply(kernels, rows, hidden, 2 * f, &mut scratch.quantised, x, Epilogue::Residual);
        }
    }

    /// `x` [T, D] after the blocks → logits [T, V].
    pub fn logits(&self, x: &[f32], out: &mut Vec<f32>, scratch: &mut Scratch) {
        let (d, v) = (self.shape.hidden_size, self.shape.vocab_size);
        let rows = x.len() / d;
        let normed = sized(&mut scratch.normed, rows * d);
        self.kernels.rms_norm(x, &self.norm, self.shape.rms_norm_eps, normed);
        out.resize(rows * v, 0.0);
        self.head.apply(&*self.kernels, rows, normed, d, &mut scratch.quantised, out, Epilogue::Store);
    }

    /// [rows, hd]: cosines, then sines, of the positions from `first` on.
    fn turns(&self, first: usize, rows: usize) -> Vec<f32> {
        let mut turns = Vec::with_capacity(rows * 2 * self.frequencies.len());
        for position in first..first + rows {
            // the angle in f32, as transformers has it
            let angles = self.frequencies.iter().map(|frequency| f64::from(position as f32 * frequency));
            turns.extend(angles.clone().map(|a| a.cos() as f32));
            turns.extend(angles.map(|a| a.sin() as f32));
        }
        turns
    }
}

/// Turns the pairs (i, i + hd/2) of a head; `turn` is hd/2 cosines, hd/2 sines.
fn rotate(head: &mut [f32], turn: &[f32]) {
    let (first, second) = head.split_at_mut(turn.len() / 2);
    let (cos, sin) = turn.split_at(turn.len() / 2);
    for (((a, b), c), s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
        (*a, *b) = (*a * c - *b * s, *b * c + *a * s);
    }
}

fn sized(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}
