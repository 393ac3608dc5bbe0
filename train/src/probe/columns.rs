//! Which columns of the features a head may use.

use std::ops::Range;

/// Columns of f = CLS ‖ mean of the patch tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// What heads use.
    pub used: Range<usize>,
    /// What tells sources apart: CLS only, so that patch evidence (a patch in place of the mean) keeps its gate.
    pub gate: Range<usize>,
}

impl Columns {
    /// CLS alone, [0, D).
    pub fn cls(dim: usize) -> Self {
        Columns { used: 0..dim, gate: 0..dim }
    }

    /// CLS ‖ mean, [0, 2D).
    pub fn cls_mean(dim: usize) -> Self {
        Columns { used: 0..2 * dim, gate: 0..dim }
    }

    /// All of `width` columns.
    pub fn all(width: usize) -> Self {
        Columns { used: 0..width, gate: 0..width }
    }
}
