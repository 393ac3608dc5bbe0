//! Symmetric 8-bit weights, one scale per output channel.

use crate::fold::Linear;

/// weight ≈ values · scale (per column).
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedLinear {
    /// [K, N], −127 to 127.
    pub values: Vec<i8>,
    /// [N]
    pub scale: Vec<f32>,
}

/// Rounds every column to 127 steps of its largest magnitude; ties to even. A column of zeros gets scale 1.
pub fn quantize(linear: &Linear) -> QuantizedLinear {
    let n = linear.outputs.max(1);
    let mut scale = vec![0.0f32; linear.outputs];
    for row in linear.weight.chunks_exact(n) {
        scale.iter_mut().zip(row).for_each(|(s, w)| *s = s.max(w.abs()));
    }
    for s in &mut scale {
        // below the smallest normal number a quotient by it would overflow
        *s = if *s / 127.0 < f32::MIN_POSITIVE { 1.0 } else { *s / 127.0 };
    }
    QuantizedLinear { values: round(linear, &scale), scale }
}

/// The shares of a column's largest magnitude that [`clip`] tries.
const SHARES: [f32; 11] = [1.0, 0.97, 0.94, 0.91, 0.88, 0.85, 0.82, 0.79, 0.76, 0.73, 0.7];

/// As [`quantize`], but every column's scale is the one of [`SHARES`] with the smallest expected error of the product,
/// Σₖ energyₖ (w − q)²; what lies beyond is clipped. `energy` [K] is the mean square of each input.
pub fn clip(linear: &Linear, energy: &[f32]) -> QuantizedLinear {
    let n = linear.outputs.max(1);
    let whole = quantize(linear);
    let mut best = vec![f64::INFINITY; linear.outputs];
    let mut scale = whole.scale.clone();
    for share in SHARES {
        let mut errors = vec![0.0f64; linear.outputs];
        for (row, energy) in linear.weight.chunks_exact(n).zip(energy) {
            for ((error, w), s) in errors.iter_mut().zip(row).zip(&whole.scale) {
                let s = s * share;
                let rest = w - (w / s).round_ties_even().clamp(-127.0, 127.0) * s;
                *error += f64::from(energy * rest * rest);
            }
        }
        for (((best, error), scale), s) in best.iter_mut().zip(errors).zip(&mut scale).zip(&whole.scale) {
            if error < *best {
                (*best, *scale) = (error, s * share);
            }
        }
    }
    QuantizedLinear { values: round(linear, &scale), scale }
}

/// Weights in steps of their column's scale.
fn round(linear: &Linear, scale: &[f32]) -> Vec<i8> {
    let rows = linear.weight.chunks_exact(linear.outputs.max(1));
    let steps = |(w, s): (&f32, &f32)| (w / s).round_ties_even().clamp(-127.0, 127.0) as i8;
    rows.flat_map(|row| row.iter().zip(scale).map(steps)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_uses_its_own_range() {
        let weight = vec![1.0, -100.0, 0.0, -0.5, 50.0, 0.0, 0.25, 25.0, 0.0];
        let linear = Linear { inputs: 3, outputs: 3, weight: weight.clone(), bias: vec![0.0; 3] };
        let rounded = quantize(&linear);
        assert_eq!(rounded.scale[2], 1.0);
        assert_eq!(rounded.values, [127, -127, 0, -64, 64, 0, 32, 32, 0]);
        for (i, (value, exact)) in rounded.values.iter().zip(&weight).enumerate() {
            let scale = rounded.scale[i % 3];
            assert!((f32::from(*value) * scale - exact).abs() <= scale * 0.5001);
        }
    }

    #[test]
    fn a_lonely_peak_is_clipped_where_its_input_is_small() {
        let mut weight: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 - 31.7) / 32.0).collect();
        weight[5] = 1.4;
        let linear = Linear { inputs: 64, outputs: 1, weight, bias: vec![0.0] };
        let mut energy = vec![1.0; 64];
        energy[5] = 1e-4;
        let (whole, clipped) = (quantize(&linear), clip(&linear, &energy));
        assert!(clipped.scale[0] < 0.9 * whole.scale[0] && clipped.values[5] == 127, "{clipped:?}");
        let error = |q: &QuantizedLinear| -> f32 {
            let rest = q.values.iter().zip(&linear.weight).map(|(v, w)| w - f32::from(*v) * q.scale[0]);
            rest.zip(&energy).map(|(rest, e)| e * rest * rest).sum()
        };
        assert!(error(&clipped) < error(&whole));
        energy[5] = 1e4;
        assert_eq!(clip(&linear, &energy), whole, "a peak that matters stays");
    }

    #[test]
    fn ties_go_to_even_and_tiny_columns_do_not_overflow() {
        let weight = vec![127.0, 1e-40, 2.5, 1e-41, 3.5, 0.0, -0.5, -1e-40];
        let linear = Linear { inputs: 4, outputs: 2, weight, bias: vec![0.0; 2] };
        let rounded = quantize(&linear);
        assert_eq!(rounded.scale, [1.0, 1.0]);
        assert_eq!(rounded.values, [127, 0, 2, 0, 4, 0, 0, 0]);
    }
}
