//! One linear layer, whatever its number format.

use rad_dino_kernels::{Epilogue, Kernels, PackedF32, PackedI8};

/// Weights of y = x·W + b, packed for the kernels.
#[derive(Debug)]
pub enum Linear {
    /// f32 (and f16, widened when loaded).
    F32(PackedF32),
    /// int8, with dynamic quantisation of the input's rows.
    Int8(PackedI8),
}

impl Linear {
    /// K, the inputs.
    pub fn inputs(&self) -> usize {
        match self {
            Linear::F32(w) => w.k(),
            Linear::Int8(w) => w.k(),
        }
    }

    /// N, the outputs.
    pub fn outputs(&self) -> usize {
        match self {
            Linear::F32(w) => w.n(),
            Linear::Int8(w) => w.n(),
        }
    }

    /// Sizes `scratch` for `rows` rows.
    pub fn reserve(&self, rows: usize, scratch: &mut Quantised) {
        if let Linear::Int8(w) = self {
            scratch.rows(rows, w.padded_k());
        }
    }

    /// out[rows, N] = epilogue(x[rows, K]·W + b). `x` has row stride `ldx`, of which the first K count.
    pub fn apply(
        &self,
        kernels: &dyn Kernels,
        rows: usize,
        x: &[f32],
        ldx: usize,
        scratch: &mut Quantised,
        out: &mut [f32],
        epilogue: Epilogue,
    ) {
        match self {
            Linear::F32(w) => kernels.linear_f32(rows, x, ldx, w, out, w.n(), epilogue),
            Linear::Int8(w) => {
                let ldq = w.padded_k();
                let (q, scales) = scratch.rows(rows, ldq);
                kernels.quantise(x, ldx, w.k(), q, ldq, scales);
                kernels.linear_i8(rows, q, scales, w, out, w.n(), epilogue);
            }
        }
    }
}

/// Scratch for quantised rows; grows as it is needed.
#[derive(Clone, Debug, Default)]
pub struct Quantised {
    values: Vec<u8>,
    scales: Vec<f32>,
}

impl Quantised {
    fn rows(&mut self, rows: usize, width: usize) -> (&mut [u8], &mut [f32]) {
        if self.values.len() < rows * width {
            self.values.resize(rows * width, 0);
        }
        if self.scales.len() < rows {
            self.scales.resize(rows, 0.0);
        }
        (&mut self.values[..rows * width], &mut self.scales[..rows])
    }
}
