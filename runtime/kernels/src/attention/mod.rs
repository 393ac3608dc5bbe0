//! Attention of one head: in f32 with the scores of a strip of queries, and in int8 block by block of keys.

pub(crate) mod float;
pub(crate) mod int8;
pub(crate) mod tokens;

pub use tokens::TokenBlock;

/// Shape of the attention: T tokens of width D, heads of width hd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// T
    pub tokens: usize,
    /// D
    pub width: usize,
    /// hd
    pub head_dim: usize,
}

impl HeadShape {
    /// Length of the packed f32 keys of one head.
    pub fn keys_len(&self) -> usize {
        self.tokens.next_multiple_of(16) * self.head_dim
    }

    /// Length of the packed f32 values of one head.
    pub fn values_len(&self) -> usize {
        self.head_dim.next_multiple_of(16) * self.tokens
    }

    /// Length of the scratch of the f32 attention.
    pub fn scores_len(&self) -> usize {
        6 * self.tokens.next_multiple_of(16)
    }

    /// Length of the scratch of the int8 attention.
    pub fn sums_len(&self) -> usize {
        crate::gemm::MAX_ROWS * self.head_dim.next_multiple_of(16)
    }

    /// H
    pub fn heads(&self) -> usize {
        self.width / self.head_dim
    }
}
