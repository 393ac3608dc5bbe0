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
    let mut values = Vec::with_capacity(linear.weight.len());
    for row in linear.weight.chunks_exact(n) {
        let steps = row.iter().zip(&scale).map(|(w, s)| (w / s).round_ties_even().clamp(-127.0, 127.0) as i8);
        values.extend(steps);
    }
    QuantizedLinear { values, scale }
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
    fn ties_go_to_even_and_tiny_columns_do_not_overflow() {
        let weight = vec![127.0, 1e-40, 2.5, 1e-41, 3.5, 0.0, -0.5, -1e-40];
        let linear = Linear { inputs: 4, outputs: 2, weight, bias: vec![0.0; 2] };
        let rounded = quantize(&linear);
        assert_eq!(rounded.scale, [1.0, 1.0]);
        assert_eq!(rounded.values, [127, 0, 2, 0, 4, 0, 0, 0]);
    }
}
