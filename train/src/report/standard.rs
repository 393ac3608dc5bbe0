//! Image tokens in standard deviations: films differ by far less than an encoder's tokens are large, and a projector that
//! starts on raw ones takes hundreds of steps to see any difference.

use rad_dino_edge::checkpoint::Projector;

use crate::linalg::Matrix;

/// Smallest deviation, against channels that never change.
const FLOOR: f64 = 1e-3;

/// Mean and deviation of each of the E channels over films and tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Standard {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Standard {
    /// Over the image tokens of the films `rows` of `features` [films, (1 + I)·E]; the CLS token, which comes first, is
    /// left out.
    pub fn of(features: &Matrix, width: usize, rows: &[usize]) -> Self {
        let (mut sums, mut squares, mut n) = (vec![0.0f64; width], vec![0.0f64; width], 0.0);
        for row in rows {
            for token in features.row(*row)[width..].chunks_exact(width) {
                n += 1.0;
                for (channel, value) in token.iter().enumerate() {
                    sums[channel] += f64::from(*value);
                    squares[channel] += f64::from(*value) * f64::from(*value);
                }
            }
        }
        let n = f64::max(n, 1.0);
        let deviation = |(sum, square): (&f64, &f64)| (square / n - (sum / n) * (sum / n)).max(0.0).sqrt().max(FLOOR);
        Standard {
            deviation: sums.iter().zip(&squares).map(|pair| deviation(pair) as f32).collect(),
            mean: sums.iter().map(|sum| (sum / n) as f32).collect(),
        }
    }

    /// The tokens of `features` in deviations from the mean.
    pub fn apply(&self, features: &mut Matrix) {
        let width = self.mean.len();
        for film in features.values.chunks_exact_mut(features.cols.max(1)) {
            for token in film[width..].chunks_exact_mut(width) {
                for ((value, mean), deviation) in token.iter_mut().zip(&self.mean).zip(&self.deviation) {
                    *value = (*value - mean) / deviation;
                }
            }
        }
    }

    /// `projector`, which takes standard tokens, as one that takes raw ones.
    pub fn fold(&self, projector: &mut Projector) {
        for (row, bias) in projector.fc1_weight.chunks_exact_mut(self.mean.len()).zip(&mut projector.fc1_bias) {
            let mut shift = 0.0f64;
            for ((weight, mean), deviation) in row.iter_mut().zip(&self.mean).zip(&self.deviation) {
                *weight /= deviation;
                shift += f64::from(*weight) * f64::from(*mean);
            }
            *bias = (f64::from(*bias) - shift) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folded_projector_makes_the_same_of_raw_tokens() {
        // two films of CLS and two tokens of two channels
        let values = vec![9.0, 9.0, 10.0, -1.0, 12.0, -1.5, 7.0, 7.0, 14.0, -0.5, 8.0, -2.0];
        let raw = Matrix { rows: 2, cols: 6, values };
        let standard = Standard::of(&raw, 2, &[0, 1]);
        let mut own = raw.clone();
        standard.apply(&mut own);
        assert_eq!(own.row(1)[..2], [7.0, 7.0], "CLS stays");
        let tokens = |matrix: &Matrix| -> Vec<[f32; 2]> {
            (0..2).flat_map(|r| matrix.row(r)[2..].chunks_exact(2).map(|t| [t[0], t[1]]).collect::<Vec<_>>()).collect()
        };
        for channel in 0..2 {
            let mean: f32 = tokens(&own).iter().map(|t| t[channel]).sum::<f32>() / 4.0;
            let square: f32 = tokens(&own).iter().map(|t| t[channel] * t[channel]).sum::<f32>() / 4.0;
            assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5, "{mean} {square}");
        }
        let mut projector = Projector {
            fc1_weight: vec![0.3, -0.7, 1.1, 0.2, -0.4, 0.9],
            fc1_bias: vec![0.1, -0.2, 0.3],
            fc2_weight: vec![1.0; 3],
            fc2_bias: vec![0.0],
        };
        let hidden = |projector: &Projector, token: [f32; 2]| -> Vec<f32> {
            let rows = projector.fc1_weight.chunks_exact(2).zip(&projector.fc1_bias);
            rows.map(|(w, b)| w[0] * token[0] + w[1] * token[1] + b).collect()
        };
        let before: Vec<_> = tokens(&own).into_iter().map(|token| hidden(&projector, token)).collect();
        standard.fold(&mut projector);
        for (token, before) in tokens(&raw).into_iter().zip(before) {
            for (a, b) in hidden(&projector, token).iter().zip(before) {
                assert!((a - b).abs() < 1e-5, "{a} {b}");
            }
        }
    }
}
