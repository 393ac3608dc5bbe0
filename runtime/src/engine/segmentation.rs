//! The segmentation head: 1×1 and 3×3 convolutions on the grid of patch tokens, as matrix products over its cells.

use std::sync::{Mutex, PoisonError};

use rad_dino_kernels::{Epilogue, PackedF32};
use rayon::prelude::*;

use super::context::Context;
use super::scratch::sized;

/// The head, packed. Activations are [P, W], a row a cell.
#[derive(Debug)]
pub struct Segmentation {
    /// C
    pub channels: usize,
    /// s: logits a side of a patch.
    pub scale: usize,
    /// g: cells a side of the grid.
    pub grid: usize,
    /// D → W; None for a linear head.
    pub project: Option<PackedF32>,
    /// 9·W → W, input order row, column, channel.
    pub convolutions: Vec<PackedF32>,
    /// W (or D) → C·s²
    pub readout: PackedF32,
    buffers: Mutex<Buffers>,
}

/// What one image needs; grows during the first call.
#[derive(Debug, Default)]
struct Buffers {
    from: Vec<f32>,
    to: Vec<f32>,
}

impl Segmentation {
    /// A head whose parts fit each other.
    pub fn new(
        channels: usize,
        scale: usize,
        grid: usize,
        project: Option<PackedF32>,
        convolutions: Vec<PackedF32>,
        readout: PackedF32,
    ) -> Self {
        Segmentation { channels, scale, grid, project, convolutions, readout, buffers: Mutex::default() }
    }

    /// Packs a 3×3 convolution [W, W, 3, 3] (out, in, row, column).
    pub fn convolution(width: usize, weight: &[f32], bias: &[f32]) -> PackedF32 {
        PackedF32::new(9 * width, width, bias, |k, out| {
            let (place, input) = (k / width, k % width);
            weight[(out * width + input) * 9 + place]
        })
    }

    /// Side of the logits, s·g.
    pub fn side(&self) -> usize {
        self.scale * self.grid
    }

    /// `logits` [C, s·g, s·g] of one image's `patches` [P, D].
    pub fn forward(&self, context: &Context, patches: &[f32], logits: &mut [f32]) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        let Buffers { from, to } = &mut *buffers;
        let cells = self.grid * self.grid;
        let mut input = patches;
        if let Some(project) = &self.project {
            let hidden = sized(from, cells * project.n());
            rows(context, project, input, hidden);
            relu(hidden);
            for convolution in &self.convolutions {
                let out = sized(to, cells * convolution.n());
                neighbourhoods(context, convolution, self.grid, &from[..out.len()], out);
                relu(out);
                std::mem::swap(from, to);
            }
            input = &from[..cells * self.readout.k()];
        }
        let read = sized(to, cells * self.readout.n());
        rows(context, &self.readout, input, read);
        self.shuffle(read, logits);
    }

    /// Row (c·s + y)·s + x of a cell becomes sub-pixel (x, y) of channel c.
    fn shuffle(&self, read: &[f32], logits: &mut [f32]) {
        let (s, side, width) = (self.scale, self.side(), self.readout.n());
        for (line, out) in logits.chunks_exact_mut(side).enumerate() {
            let (channel, y) = (line / side, line % side);
            let first = (channel * s + y % s) * s;
            for (column, sub) in out.chunks_exact_mut(s).enumerate() {
                let at = (y / s * self.grid + column) * width + first;
                sub.copy_from_slice(&read[at..at + s]);
            }
        }
    }
}

/// out [rows, N] = x [rows, K]·w + bias
fn rows(context: &Context, w: &PackedF32, x: &[f32], out: &mut [f32]) {
    let (k, n) = (w.k(), w.n());
    let chunk = context.scratch.chunk(out.len() / n);
    out.par_chunks_mut(chunk * n).zip(x.par_chunks(chunk * k)).for_each(|(out, x)| {
        context.kernels.linear_f32(out.len() / n, x, k, w, out, n, Epilogue::Store);
    });
}

/// out [g·g, W] = 3×3 convolution of x [g·g, W] with zeros around it.
fn neighbourhoods(context: &Context, w: &PackedF32, grid: usize, x: &[f32], out: &mut [f32]) {
    let (k, n) = (w.k(), w.n());
    let width = k / 9;
    let chunk_rows = context.scratch.chunk(grid * grid);
    out.par_chunks_mut(chunk_rows * n).enumerate().for_each(|(chunk, out)| {
        let count = out.len() / n;
        let mut scratch = context.scratch.rows();
        let unfolded = sized(&mut scratch.rows, count * k);
        for (r, row) in unfolded.chunks_exact_mut(k).enumerate() {
            let cell = chunk * chunk_rows + r;
            let (y, column) = (cell / grid, cell % grid);
            for (place, values) in row.chunks_exact_mut(width).enumerate() {
                // One more than the neighbour's place, so that 0 is outside.
                let (ny, nx) = (y + place / 3, column + place % 3);
                if (1..=grid).contains(&ny) && (1..=grid).contains(&nx) {
                    let at = ((ny - 1) * grid + nx - 1) * width;
                    values.copy_from_slice(&x[at..at + width]);
                } else {
                    values.fill(0.0);
                }
            }
        }
        context.kernels.linear_f32(count, unfolded, k, w, out, n, Epilogue::Store);
    });
}

fn relu(values: &mut [f32]) {
    values.iter_mut().for_each(|x| *x = if *x > 0.0 { *x } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use rad_dino_kernels::{Isa, kernels};

    use super::super::scratch::{RowScratch, Scratch};
    use super::*;

    const GRID: usize = 7;
    const DIM: usize = 20;
    const WIDTH: usize = 18;
    const CHANNELS: usize = 2;
    const SCALE: usize = 3;

    fn value(i: usize) -> f32 {
        ((i.wrapping_mul(2_654_435_761) >> 8) % 1000) as f32 / 500.0 - 1.0
    }

    struct Weights {
        project: Vec<f32>,
        convolution: Vec<f32>,
        readout: Vec<f32>,
    }

    fn weights() -> Weights {
        let make = |n: usize, seed: usize| (0..n).map(|i| value(i * 7 + seed) * 0.3).collect();
        Weights {
            project: make(WIDTH * DIM, 1),
            convolution: make(WIDTH * WIDTH * 9, 2),
            readout: make(CHANNELS * SCALE * SCALE * WIDTH, 3),
        }
    }

    fn head(w: &Weights) -> Segmentation {
        let bias = |n: usize| (0..n).map(|i| value(i) * 0.1).collect::<Vec<f32>>();
        let rows = CHANNELS * SCALE * SCALE;
        let project = PackedF32::new(DIM, WIDTH, &bias(WIDTH), |k, n| w.project[n * DIM + k]);
        let readout = PackedF32::new(WIDTH, rows, &bias(rows), |k, n| w.readout[n * WIDTH + k]);
        let convolutions = vec![Segmentation::convolution(WIDTH, &w.convolution, &bias(WIDTH))];
        Segmentation::new(CHANNELS, SCALE, GRID, Some(project), convolutions, readout)
    }

    fn patches() -> Vec<f32> {
        (0..GRID * GRID * DIM).map(|i| value(i + 11)).collect()
    }

    /// The definition, written out.
    fn truth(w: &Weights) -> Vec<f32> {
        let (x, bias) = (patches(), |i: usize| f64::from(value(i) * 0.1));
        let cells = GRID * GRID;
        let mut h = vec![0.0f64; cells * WIDTH];
        for cell in 0..cells {
            for n in 0..WIDTH {
                let sum: f64 = (0..DIM).map(|k| f64::from(x[cell * DIM + k]) * f64::from(w.project[n * DIM + k])).sum();
                h[cell * WIDTH + n] = (sum + bias(n)).max(0.0);
            }
        }
        let mut c = vec![0.0f64; cells * WIDTH];
        for (cell, n) in (0..cells).flat_map(|cell| (0..WIDTH).map(move |n| (cell, n))) {
            let mut sum = bias(n);
            for (dy, dx) in (0..3usize).flat_map(|dy| (0..3usize).map(move |dx| (dy, dx))) {
                let (y, x) = ((cell / GRID + dy) as i64 - 1, (cell % GRID + dx) as i64 - 1);
                if (0..GRID as i64).contains(&y) && (0..GRID as i64).contains(&x) {
                    let at = (y as usize * GRID + x as usize) * WIDTH;
                    sum += (0..WIDTH)
                        .map(|i| h[at + i] * f64::from(w.convolution[((n * WIDTH + i) * 3 + dy) * 3 + dx]))
                        .sum::<f64>();
                }
            }
            c[cell * WIDTH + n] = sum.max(0.0);
        }
        let side = GRID * SCALE;
        let mut out = vec![0.0f32; CHANNELS * side * side];
        for (i, out) in out.iter_mut().enumerate() {
            let (channel, y, x) = (i / side / side, i / side % side, i % side);
            let n = (channel * SCALE + y % SCALE) * SCALE + x % SCALE;
            let at = (y / SCALE * GRID + x / SCALE) * WIDTH;
            let sum: f64 = (0..WIDTH).map(|k| c[at + k] * f64::from(w.readout[n * WIDTH + k])).sum();
            *out = (sum + bias(n)) as f32;
        }
        out
    }

    #[test]
    fn is_its_definition_and_the_same_bits_on_every_set_and_thread_count() {
        let weights = weights();
        let expected = truth(&weights);
        let mut first: Option<Vec<f32>> = None;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            for threads in [1, 3] {
                let context = Context::new(kernels(isa).unwrap(), Scratch::of(threads, &RowScratch::default()));
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let head = head(&weights);
                let mut logits = vec![f32::NAN; expected.len()];
                pool.install(|| head.forward(&context, &patches(), &mut logits));
                for (a, b) in logits.iter().zip(&expected) {
                    assert!((a - b).abs() < 1e-4, "{a} is not {b}");
                }
                assert_eq!(first.get_or_insert_with(|| logits.clone()), &logits, "{isa:?} {threads}");
                let sizes = |head: &Segmentation| {
                    let buffers = head.buffers.lock().unwrap();
                    (buffers.from.capacity(), buffers.to.capacity())
                };
                let before = sizes(&head);
                pool.install(|| head.forward(&context, &patches(), &mut logits));
                let after = sizes(&head);
                assert!(after == before || after == (before.1, before.0), "nothing grows after the first call");
                assert_eq!(first.as_ref(), Some(&logits));
            }
        }
    }

    #[test]
    fn a_linear_head_reads_the_tokens() {
        let readout = PackedF32::new(1, 4, &[0.0; 4], |_, n| (n + 1) as f32);
        let head = Segmentation::new(1, 2, 2, None, Vec::new(), readout);
        let context = Context::new(kernels(Isa::Scalar).unwrap(), Scratch::of(1, &RowScratch::default()));
        let mut logits = vec![0.0; 16];
        head.forward(&context, &[1.0, 10.0, 100.0, 1000.0], &mut logits);
        assert_eq!(logits, [1., 2., 10., 20., 3., 4., 30., 40., 100., 200., 1000., 2000., 300., 400., 3000., 4000.]);
    }
}
