//! What attention reads, in f32 or int8, and its heads side by side.

use rad_dino_kernels::{HeadShape, Kernels, TokenBlock};

use super::scratch::sized;

/// Queries, keys and values of all tokens.
#[derive(Debug)]
pub enum Operands<'s> {
    /// f32
    Float {
        /// [T, 3D]
        qkv: &'s [f32],
        /// Packed keys, head by head.
        keys: &'s [f32],
        /// Packed values, head by head.
        values: &'s [f32],
    },
    /// int8, in blocks of 64 tokens.
    Int8(&'s [TokenBlock]),
}

impl Operands<'_> {
    /// out [rows, D] = attention of the queries from `first` on. `cls` gets the probabilities of the query `first`, [H, T].
    pub fn attend(
        &self,
        kernels: &dyn Kernels,
        shape: HeadShape,
        first: usize,
        out: &mut [f32],
        scratch: &mut Vec<f32>,
        mut cls: Option<&mut [f32]>,
    ) {
        let HeadShape { tokens, width, head_dim } = shape;
        let count = out.len() / width;
        for head in 0..shape.heads() {
            let mut cls = cls.as_deref_mut().map(|cls| &mut cls[head * tokens..(head + 1) * tokens]);
            let out = &mut out[head * head_dim..];
            match self {
                Operands::Float { qkv, keys, values } => {
                    let keys = &keys[head * shape.keys_len()..][..shape.keys_len()];
                    let values = &values[head * shape.values_len()..][..shape.values_len()];
                    let scores = sized(scratch, shape.scores_len());
                    kernels.attend(shape, head, first, count, qkv, keys, values, scores, out, width, cls);
                }
                Operands::Int8(blocks) => {
                    let sums = sized(scratch, shape.sums_len());
                    let mut done = 0;
                    while done < count {
                        let (block, at) = ((first + done) / TokenBlock::TOKENS, (first + done) % TokenBlock::TOKENS);
                        let (queries, rows) = (&blocks[block], (TokenBlock::TOKENS - at).min(count - done));
                        let (out, cls) = (&mut out[done * width..], cls.take());
                        kernels.attend_i8(shape, head, queries, at, rows, blocks, sums, out, width, cls);
                        done += rows;
                    }
                }
            }
        }
    }
}
