//! Channels in standard deviations from their mean, and layers on those turned into layers on raw values.

/// Smallest deviation, as a share of the mean one: a channel that never changes holds rounding noise, which must not become
/// as loud as the others.
const FLOOR: f64 = 1e-2;

/// Mean and standard deviation of each of D channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    /// [D]
    pub mean: Vec<f32>,
    /// [D], above 0.
    pub deviation: Vec<f32>,
}

/// Rows [D] added up in their order.
#[derive(Clone, Debug)]
pub struct Sums {
    rows: f64,
    sum: Vec<f64>,
    square: Vec<f64>,
}

impl Sums {
    /// Of no rows of `dim` channels.
    pub fn new(dim: usize) -> Self {
        Sums { rows: 0.0, sum: vec![0.0; dim], square: vec![0.0; dim] }
    }

    /// One row more.
    pub fn add(&mut self, row: impl IntoIterator<Item = f64>) {
        self.rows += 1.0;
        for ((sum, square), x) in self.sum.iter_mut().zip(&mut self.square).zip(row) {
            *sum += x;
            *square += x * x;
        }
    }

    /// Mean and deviation of the rows so far.
    pub fn standard(&self) -> Standard {
        let n = self.rows.max(1.0);
        let deviation = |(sum, square): (&f64, &f64)| (square / n - (sum / n).powi(2)).max(0.0).sqrt();
        let deviations: Vec<f64> = self.sum.iter().zip(&self.square).map(deviation).collect();
        let floor = FLOOR * deviations.iter().sum::<f64>() / deviations.len().max(1) as f64 + 1e-6;
        Standard {
            mean: self.sum.iter().map(|sum| (sum / n) as f32).collect(),
            deviation: deviations.into_iter().map(|deviation| deviation.max(floor) as f32).collect(),
        }
    }
}

impl Standard {
    /// (x − mean) / deviation on rows [n, D], in place.
    pub fn apply(&self, rows: &mut [f32]) {
        self.each(rows, |x, mean, deviation| (x - mean) / deviation);
    }

    /// x · deviation + mean on rows [n, D], in place.
    pub fn undo(&self, rows: &mut [f32]) {
        self.each(rows, |x, mean, deviation| x * deviation + mean);
    }

    /// Turns a layer on standard values, weight [rows, D] and bias [rows], into the same on raw ones.
    pub fn fold(&self, weight: &mut [f32], bias: &mut [f32]) {
        for (row, bias) in weight.chunks_exact_mut(self.mean.len().max(1)).zip(bias) {
            let mut shift = 0.0f64;
            for ((weight, mean), deviation) in row.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *weight /= deviation;
                shift += f64::from(*weight) * f64::from(*mean);
            }
            *bias = (f64::from(*bias) - shift) as f32;
        }
    }

    fn each(&self, rows: &mut [f32], new: impl Fn(f32, f32, f32) -> f32) {
        for row in rows.chunks_exact_mut(self.mean.len().max(1)) {
            for ((x, mean), deviation) in row.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *x = new(*x, *mean, *deviation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAW: [f32; 12] = [10.0, -1.0, 7.0, 12.0, -1.5, 7.0, 14.0, -0.5, 7.0, 8.0, -2.0, 7.0];

    fn standard() -> Standard {
        let mut sums = Sums::new(3);
        RAW.chunks_exact(3).for_each(|row| sums.add(row.iter().map(|x| f64::from(*x))));
        sums.standard()
    }

    #[test]
    fn standard_rows_have_mean_0_and_variance_1_and_come_back() {
        let mut rows = RAW;
        standard().apply(&mut rows);
        for channel in 0..2 {
            let of = |f: fn(f32) -> f32| rows.chunks_exact(3).map(|row| f(row[channel])).sum::<f32>() / 4.0;
            assert!(of(|x| x).abs() < 1e-6 && (of(|x| x * x) - 1.0).abs() < 1e-5);
        }
        assert!(rows.chunks_exact(3).all(|row| row[2] == 0.0), "a constant channel");
        standard().undo(&mut rows);
        for (back, raw) in rows.iter().zip(RAW) {
            assert!((back - raw).abs() < 1e-5);
        }
    }

    #[test]
    fn a_folded_layer_makes_the_same_of_raw_rows() {
        let (mut weight, mut bias) = ([0.3, -0.7, 0.2, -0.4, 0.9, 1.1], [0.1, -0.2]);
        let outputs = |weight: &[f32; 6], bias: &[f32; 2], rows: &[f32]| -> Vec<f32> {
            let row = |row: &[f32]| -> Vec<f32> {
                let dot = |w: &[f32]| w.iter().zip(row).map(|(w, x)| w * x).sum::<f32>();
                weight.chunks_exact(3).zip(bias).map(|(w, b)| dot(w) + b).collect()
            };
            rows.chunks_exact(3).flat_map(row).collect()
        };
        let mut own = RAW;
        standard().apply(&mut own);
        let want = outputs(&weight, &bias, &own);
        standard().fold(&mut weight, &mut bias);
        // the constant channel's weight grows by 1 / floor, and f32 with it
        for (found, want) in outputs(&weight, &bias, &RAW).iter().zip(want) {
            assert!((found - want).abs() < 1e-3, "{found} {want}");
        }
    }
}
