//! Row-major f32 matrix: features of films.

use rayon::prelude::*;

/// Rows per piece of parallel work. Fixed, and pieces are summed in order: sums do not depend on the thread count.
pub const CHUNK: usize = 128;

/// [rows, cols], row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// rows · cols values.
    pub values: Vec<f32>,
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Matrix { rows, cols, values: vec![0.0; rows * cols] }
    }

    /// Row `i`, [cols].
    pub fn row(&self, i: usize) -> &[f32] {
        &self.values[i * self.cols..(i + 1) * self.cols]
    }

    /// Row `i`, [cols].
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.values[i * self.cols..(i + 1) * self.cols]
    }

    /// The rows `rows` in that order, and of these the columns `cols`.
    pub fn select(&self, rows: impl IntoIterator<Item = usize>, cols: std::ops::Range<usize>) -> Matrix {
        let mut out = Matrix { rows: 0, cols: cols.len(), values: Vec::new() };
        for row in rows {
            out.values.extend_from_slice(&self.row(row)[cols.clone()]);
            out.rows += 1;
        }
        out
    }

    /// Sums over the rows, in parallel over pieces of [`CHUNK`] rows, in fixed order: `add(row, sums)` adds the row's
    /// part to `sums` [width].
    pub fn fold_rows(&self, width: usize, add: impl Fn(usize, &mut [f64]) + Sync) -> Vec<f64> {
        let pieces = self.rows.div_ceil(CHUNK);
        let partials: Vec<Vec<f64>> = (0..pieces)
            .into_par_iter()
            .map(|p| {
                let mut sums = vec![0.0; width];
                (p * CHUNK..((p + 1) * CHUNK).min(self.rows)).for_each(|row| add(row, &mut sums));
                sums
            })
            .collect();
        let mut total = vec![0.0; width];
        for partial in partials {
            for (sum, value) in total.iter_mut().zip(partial) {
                *sum += value;
            }
        }
        total
    }
}

/// Σ aᵢ bᵢ in f64, eight running sums in fixed order.
pub fn dot(a: &[f32], b: &[f64]) -> f64 {
    let mut sums = [0.0f64; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let (a_rest, b_rest) = (a8.remainder(), b8.remainder());
    for (x, y) in a8.zip(b8) {
        for lane in 0..8 {
            sums[lane] += f64::from(x[lane]) * y[lane];
        }
    }
    let mut rest = 0.0;
    for (x, y) in a_rest.iter().zip(b_rest) {
        rest += f64::from(*x) * y;
    }
    ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7])) + rest
}

/// y += a · x.
pub fn add_scaled(y: &mut [f64], a: f64, x: &[f32]) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += a * f64::from(*x);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_and_select() {
        let m = Matrix { rows: 2, cols: 11, values: (0..22).map(|i| i as f32).collect() };
        let b: Vec<f64> = (0..11).map(f64::from).collect();
        assert_eq!(dot(m.row(0), &b), 385.0);
        let s = m.select([1, 0], 2..4);
        assert_eq!((s.rows, s.cols, s.values), (2, 2, vec![13.0, 14.0, 2.0, 3.0]));
    }

    #[test]
    fn sums_do_not_depend_on_threads() {
        let m = Matrix { rows: 1000, cols: 1, values: (0..1000).map(|i| (i as f32).sin() * 1e3).collect() };
        let sum = || m.fold_rows(1, |i, s| s[0] += (f64::from(m.row(i)[0]) / 300.0).exp().sin());
        let pool = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap();
        assert_eq!(pool(1).install(sum), pool(3).install(sum));
    }
}
