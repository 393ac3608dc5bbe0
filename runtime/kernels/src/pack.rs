//! Weights in the layout the tiles read: panels of 16 output columns, padded with zeros.

use crate::aligned::AlignedVec;
use crate::isa::Isa;

/// f32 weights [K, N] in panels `[N/16][K][16]`, with bias [N].
#[derive(Debug)]
pub struct PackedF32 {
    k: usize,
    n: usize,
    pub(crate) panels: AlignedVec<f32>,
    pub(crate) bias: AlignedVec<f32>,
}

impl PackedF32 {
    /// Packs from an accessor: `weight(k, n)` for k < `k`, n < `n`. `bias` has `n` values.
    ///
    /// # Panics
    /// When `bias` has another length: a programming error, shapes are checked where weights are read.
    pub fn new(k: usize, n: usize, bias: &[f32], weight: impl Fn(usize, usize) -> f32) -> Self {
        let mut panels = AlignedVec::zeroed(n.div_ceil(16) * 16 * k);
        for (p, panel) in panels.chunks_exact_mut((16 * k).max(1)).enumerate() {
            for (i, row) in panel.chunks_exact_mut(16).enumerate() {
                for (c, value) in row.iter_mut().enumerate().take(n - p * 16) {
                    *value = weight(i, p * 16 + c);
                }
            }
        }
        PackedF32 { k, n, panels, bias: padded(bias, n) }
    }

    /// K, the inputs.
    pub fn k(&self) -> usize {
        self.k
    }

    /// N, the outputs.
    pub fn n(&self) -> usize {
        self.n
    }
}

/// int8 weights [K, N] in panels `[N/16][K/G][16][G]`, with per-column scale and bias [N]. G is what the instruction set
/// multiplies at once, so weights belong to the set they were packed for.
#[derive(Debug)]
pub struct PackedI8 {
    k: usize,
    n: usize,
    group: usize,
    pub(crate) panels: AlignedVec<i8>,
    /// −128·Σₖ w, per column: what the +128 of the activations adds, taken off.
    pub(crate) offset: AlignedVec<i32>,
    pub(crate) scale: AlignedVec<f32>,
    pub(crate) bias: AlignedVec<f32>,
}

impl PackedI8 {
    /// Packs row-major `weight` [K, N] for `isa`.
    ///
    /// # Panics
    /// When a length is off: a programming error, shapes are checked where weights are read.
    pub fn new(isa: Isa, k: usize, n: usize, weight: &[i8], scale: &[f32], bias: &[f32]) -> Self {
        assert_eq!(weight.len(), k * n, "weight is [K, N]");
        let group = isa.group();
        let groups = k.div_ceil(group);
        let mut panels: AlignedVec<i8> = AlignedVec::zeroed(n.div_ceil(16) * 16 * group * groups);
        let mut offset: AlignedVec<i32> = AlignedVec::zeroed(n.div_ceil(16) * 16);
        for (i, row) in weight.chunks_exact(n.max(1)).enumerate() {
            for (p, columns) in row.chunks(16).enumerate() {
                let at = (p * groups + i / group) * 16 * group + i % group;
                for (c, w) in columns.iter().enumerate() {
                    // symmetric weights never need −128, and the paths promise nothing about it
                    let w = (*w).max(-127);
                    panels[at + c * group] = w;
                    offset[p * 16 + c] -= 128 * i32::from(w);
                }
            }
        }
        PackedI8 { k, n, group, panels, offset, scale: padded(scale, n), bias: padded(bias, n) }
    }

    /// G
    pub(crate) fn group(&self) -> usize {
        self.group
    }

    /// K, the inputs.
    pub fn k(&self) -> usize {
        self.k
    }

    /// K rounded up to a multiple of G: the row length of the quantised activations.
    pub fn padded_k(&self) -> usize {
        self.k.next_multiple_of(self.group)
    }

    /// N, the outputs.
    pub fn n(&self) -> usize {
        self.n
    }
}

fn padded(values: &[f32], n: usize) -> AlignedVec<f32> {
    assert_eq!(values.len(), n, "one value a column");
    let mut out = AlignedVec::zeroed(n.div_ceil(16) * 16);
    out[..n].copy_from_slice(values);
    out
}
