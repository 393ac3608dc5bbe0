//! Means over rows: absolute error and accuracy.

/// Mean of `values` under `weights`; None when nothing has weight.
pub fn mean(values: &[f64], weights: &[f64]) -> Option<f64> {
    let total: f64 = weights.iter().sum();
    (total > 0.0).then(|| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total)
}

/// |prediction − truth| of each row.
pub fn absolute_errors(predictions: &[f64], truth: &[f64]) -> Vec<f64> {
    predictions.iter().zip(truth).map(|(p, t)| (p - t).abs()).collect()
}

/// Mean absolute error; None without rows.
pub fn mae(predictions: &[f64], truth: &[f64]) -> Option<f64> {
    let errors = absolute_errors(predictions, truth);
    mean(&errors, &vec![1.0; errors.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_of_distances() {
        assert_eq!(mae(&[50.0, 60.0, 70.0], &[40.0, 65.0, 70.0]), Some(5.0));
        assert_eq!(mae(&[], &[]), None);
        assert_eq!(mean(&[1.0, 5.0], &[3.0, 1.0]), Some(2.0));
    }
}
