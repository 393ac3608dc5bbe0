//! How far a picture's CLS token lies from the training films, and detectors of films held wrongly.

use base64::Engine as _;

use crate::error::Result;
use crate::model::manifest::OutOfDistribution;
use crate::model::onnx::refused;

/// [`OutOfDistribution`], decoded.
#[derive(Clone, Debug)]
pub struct Distance {
    limit: f64,
    mean: Vec<f32>,
    basis: Vec<f32>,
    variances: Vec<f64>,
    detectors: Vec<Linear>,
}

#[derive(Clone, Debug)]
struct Linear {
    label: String,
    weights: Vec<f32>,
    bias: f64,
}

impl Distance {
    /// Decodes the manifest's entry for an encoder of width `dim`.
    ///
    /// # Errors
    /// When its sizes do not fit.
    pub fn new(entry: &OutOfDistribution, dim: usize) -> Result<Self> {
        let misfit = || refused("out_of_distribution in the manifest does not fit the encoder");
        let expected = entry.rank.checked_add(1).and_then(|n| n.checked_mul(dim)).ok_or_else(misfit)?;
        let decoded = |text: &str| -> Result<Vec<f32>> {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| misfit())?;
            Ok(bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect())
        };
        let values = decoded(&entry.basis)?;
        let mut detectors = Vec::with_capacity(entry.detectors.len());
        for detector in &entry.detectors {
            let weights = decoded(&detector.weights)?;
            if Some(weights.len()) != dim.checked_mul(2) || !detector.bias.is_finite() {
                return Err(misfit());
            }
            detectors.push(Linear { label: detector.label.clone(), weights, bias: detector.bias });
        }
        let positive = entry.variances.iter().all(|v| v.is_finite() && *v > 0.0);
        if entry.dim != dim || values.len() != expected || entry.variances.len() != entry.rank + 1 || !positive {
            return Err(misfit());
        }
        let (mean, basis) = values.split_at(dim);
        Ok(Distance {
            limit: entry.limit,
            mean: mean.to_vec(),
            basis: basis.to_vec(),
            variances: entry.variances.clone(),
            detectors,
        })
    }

    /// d for `cls` [D]; see [`OutOfDistribution`].
    pub fn of(&self, cls: &[f32]) -> f64 {
        let centred: Vec<f64> = cls.iter().zip(&self.mean).map(|(x, m)| f64::from(*x) - f64::from(*m)).collect();
        let mut rest: f64 = centred.iter().map(|x| x * x).sum();
        let mut sum = 0.0;
        for (row, variance) in self.basis.chunks_exact(self.mean.len()).zip(&self.variances) {
            let z: f64 = row.iter().zip(&centred).map(|(b, x)| f64::from(*b) * x).sum();
            rest -= z * z;
            sum += z * z / variance;
        }
        let residual = self.variances.last().copied().unwrap_or(1.0);
        (sum + rest.max(0.0) / residual).sqrt()
    }

    /// The label of the detector that is surest about `features` [2D], CLS ‖ mean of the patch tokens, if any fires.
    pub fn detected(&self, features: &[f32]) -> Option<&str> {
        let scores = self.detectors.iter().map(|detector| {
            let products = detector.weights.iter().zip(features).map(|(w, x)| f64::from(*w) * f64::from(*x));
            (products.sum::<f64>() + detector.bias, detector.label.as_str())
        });
        let best = scores.max_by(|a, b| a.0.total_cmp(&b.0));
        best.filter(|(score, _)| *score > 0.0).map(|(_, label)| label)
    }

    /// The limit above which a picture is flagged.
    pub fn limit(&self) -> f64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::manifest::Detector;

    fn entry() -> OutOfDistribution {
        let values = [1.0f32, 2.0, 1.0, 0.0]; // mean (1, 2), one direction (1, 0)
        let bytes: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        OutOfDistribution {
            limit: 3.0,
            dim: 2,
            rank: 1,
            variances: vec![4.0, 1.0],
            basis: base64::engine::general_purpose::STANDARD.encode(bytes),
            detectors: vec![],
        }
    }

    #[test]
    fn distance_is_mahalanobis_plus_residual() {
        let distance = Distance::new(&entry(), 2).unwrap();
        assert_eq!(distance.of(&[1.0, 2.0]), 0.0);
        assert_eq!(distance.of(&[5.0, 2.0]), 2.0);
        assert_eq!(distance.of(&[1.0, 5.0]), 3.0);
    }

    #[test]
    fn the_surest_detector_speaks() {
        let detector = |label: &str, weights: [f32; 4], bias| {
            let bytes: Vec<u8> = weights.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
            Detector { label: label.into(), bias, weights: base64::engine::general_purpose::STANDARD.encode(bytes) }
        };
        let detectors =
            vec![detector("upside_down", [1.0, 0.0, 0.0, 0.0], -1.0), detector("inverted", [0.0, 0.0, 0.0, 2.0], -1.0)];
        let distance = Distance::new(&OutOfDistribution { detectors: detectors.clone(), ..entry() }, 2).unwrap();
        assert_eq!(distance.detected(&[0.5, 0.0, 0.0, 0.25]), None);
        assert_eq!(distance.detected(&[3.0, 0.0, 0.0, 1.0]), Some("upside_down"));
        assert_eq!(distance.detected(&[3.0, 0.0, 0.0, 9.0]), Some("inverted"));
        let short = Detector { weights: String::new(), ..detectors[0].clone() };
        assert!(Distance::new(&OutOfDistribution { detectors: vec![short], ..entry() }, 2).is_err());
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert!(Distance::new(&entry(), 3).is_err());
        let broken = OutOfDistribution { variances: vec![0.0, 1.0], ..entry() };
        assert!(Distance::new(&broken, 2).is_err());
    }
}
