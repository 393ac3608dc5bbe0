//! How far a picture's CLS token lies from the training films.

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
}

impl Distance {
    /// Decodes the manifest's entry for an encoder of width `dim`.
    ///
    /// # Errors
    /// When its sizes do not fit.
    pub fn new(entry: &OutOfDistribution, dim: usize) -> Result<Self> {
        let misfit = || refused("out_of_distribution in the manifest does not fit the encoder");
        let expected = entry.rank.checked_add(1).and_then(|n| n.checked_mul(dim)).ok_or_else(misfit)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(&entry.basis).map_err(|_| misfit())?;
        let values: Vec<f32> = bytes.as_chunks::<2>().0.iter().map(|b| half::f16::from_le_bytes(*b).to_f32()).collect();
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

    /// The limit above which a picture is flagged.
    pub fn limit(&self) -> f64 {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> OutOfDistribution {
        let values = [1.0f32, 2.0, 1.0, 0.0]; // mean (1, 2), one direction (1, 0)
        let bytes: Vec<u8> = values.iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
        OutOfDistribution {
            limit: 3.0,
            dim: 2,
            rank: 1,
            variances: vec![4.0, 1.0],
            basis: base64::engine::general_purpose::STANDARD.encode(bytes),
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
    fn sizes_that_do_not_fit_are_refused() {
        assert!(Distance::new(&entry(), 3).is_err());
        let broken = OutOfDistribution { variances: vec![0.0, 1.0], ..entry() };
        assert!(Distance::new(&broken, 2).is_err());
    }
}
