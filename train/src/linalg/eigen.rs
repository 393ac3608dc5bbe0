//! Leading eigenvectors of a symmetric positive semi-definite matrix.

use rayon::prelude::*;

use crate::random::Random;

const OVERSAMPLING: usize = 16;
const SWEEPS: usize = 40;
const SEED: u64 = 0x0e19_e700;

/// The `rank` largest eigenvalues of `matrix` [n, n], falling, and their unit eigenvectors as rows [rank, n]:
/// subspace iteration with a Rayleigh–Ritz step at the end. The sign of a vector makes its largest component positive.
pub fn leading(matrix: &[f64], n: usize, rank: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let rank = rank.min(n);
    let width = (rank + OVERSAMPLING).min(n);
    let mut random = Random::new(SEED);
    let mut basis: Vec<Vec<f64>> = (0..width).map(|_| (0..n).map(|_| random.normal()).collect()).collect();
    orthonormalise(&mut basis);
    for _ in 0..SWEEPS {
        basis = times(matrix, n, &basis);
        orthonormalise(&mut basis);
    }
    let image = times(matrix, n, &basis);
    let mut small = vec![0.0; width * width];
    for i in 0..width {
        for j in 0..width {
            small[i * width + j] = 0.5 * (inner(&basis[i], &image[j]) + inner(&basis[j], &image[i]));
        }
    }
    let rotation = jacobi(&mut small, width);
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|&a, &b| small[b * width + b].total_cmp(&small[a * width + a]));
    order.truncate(rank);
    let values = order.iter().map(|&k| small[k * width + k]).collect();
    let vectors = order.iter().map(|&k| {
        let mut vector = vec![0.0; n];
        for (i, row) in basis.iter().enumerate() {
            let share = rotation[i * width + k];
            vector.iter_mut().zip(row).for_each(|(v, r)| *v += share * r);
        }
        let largest = vector.iter().fold(0.0f64, |m, v| if v.abs() > m.abs() { *v } else { m });
        if largest < 0.0 {
            vector.iter_mut().for_each(|v| *v = -*v);
        }
        vector
    });
    (values, vectors.collect())
}

/// The rows M·b of every b in `basis`.
fn times(matrix: &[f64], n: usize, basis: &[Vec<f64>]) -> Vec<Vec<f64>> {
    basis.par_iter().map(|b| matrix.chunks_exact(n).map(|row| inner(row, b)).collect()).collect()
}

/// Gram–Schmidt, twice; a vector that vanishes becomes zero.
fn orthonormalise(basis: &mut [Vec<f64>]) {
    for i in 0..basis.len() {
        let (done, rest) = basis.split_at_mut(i);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in done.iter() {
                let share = inner(other, vector);
                vector.iter_mut().zip(other).for_each(|(v, o)| *v -= share * o);
            }
        }
        let norm = inner(vector, vector).sqrt();
        let scale = if norm > 1e-300 { 1.0 / norm } else { 0.0 };
        vector.iter_mut().for_each(|v| *v *= scale);
    }
}

/// Cyclic Jacobi: turns `a` [n, n] into a diagonal and returns the rotation, eigenvectors as columns.
fn jacobi(a: &mut [f64], n: usize) -> Vec<f64> {
    let mut v = vec![0.0; n * n];
    (0..n).for_each(|i| v[i * n + i] = 1.0);
    for _ in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * n + j].powi(2)).sum();
        let diagonal: f64 = (0..n).map(|i| a[i * n + i].powi(2)).sum();
        if off <= 1e-28 * diagonal {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p * n + q] == 0.0 {
                    continue;
                }
                let theta = (a[q * n + q] - a[p * n + p]) / (2.0 * a[p * n + q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (x, y) = (a[k * n + p], a[k * n + q]);
                    (a[k * n + p], a[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
                for k in 0..n {
                    let (x, y) = (a[p * n + k], a[q * n + k]);
                    (a[p * n + k], a[q * n + k]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[k * n + p], v[k * n + q]);
                    (v[k * n + p], v[k * n + q]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    v
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rebuilds_the_spectrum_it_was_made_of() {
        let n = 60;
        let mut random = Random::new(1);
        let mut vectors: Vec<Vec<f64>> = (0..n).map(|_| (0..n).map(|_| random.normal()).collect()).collect();
        orthonormalise(&mut vectors);
        let spectrum: Vec<f64> = (0..n).map(|i| 100.0 * 0.8f64.powi(i as i32)).collect();
        let mut matrix = vec![0.0; n * n];
        for (value, vector) in spectrum.iter().zip(&vectors) {
            for i in 0..n {
                for j in 0..n {
                    matrix[i * n + j] += value * vector[i] * vector[j];
                }
            }
        }
        let (values, found) = leading(&matrix, n, 10);
        for k in 0..10 {
            assert!((values[k] - spectrum[k]).abs() < 1e-9 * spectrum[0], "{k}: {}", values[k]);
            assert!(inner(&found[k], &vectors[k]).abs() > 1.0 - 1e-8, "{k}");
        }
    }

    #[test]
    fn rank_is_at_most_the_size_and_a_deficient_matrix_is_fine() {
        let (values, vectors) = leading(&[4.0, 0.0, 0.0, 0.0], 2, 5);
        assert_eq!(vectors.len(), 2);
        assert!((values[0] - 4.0).abs() < 1e-12 && values[1].abs() < 1e-12);
    }
}
