//! Smooth noise.

use crate::random::mix;

/// Fractal value noise of mean 0 and amplitude about 1, `octaves` octaves from `frequency` cycles a film upwards.
pub fn fractal(seed: u64, x: f64, y: f64, frequency: f64, octaves: u32) -> f64 {
    let (mut sum, mut weight, mut frequency) = (0.0, 1.0, frequency);
    for octave in 0..octaves {
        sum += weight * lattice(seed.wrapping_add(u64::from(octave)), x * frequency, y * frequency);
        weight *= 0.5;
        frequency *= 2.0;
    }
    sum
}

/// Smoothly interpolated random values of the integer lattice, in [−1, 1].
fn lattice(seed: u64, x: f64, y: f64) -> f64 {
    let (x0, y0) = (x.floor(), y.floor());
    let ease = |t: f64| t * t * (3.0 - 2.0 * t);
    let (u, v) = (ease(x - x0), ease(y - y0));
    let value = |i: f64, j: f64| {
        let cell = ((x0 + i) as i64 as u64).wrapping_mul(0x9e37_79b9)
            ^ ((y0 + j) as i64 as u64).wrapping_mul(0x85eb_ca77_c2b2);
        (mix(seed ^ mix(cell)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    let top = value(0.0, 0.0) * (1.0 - u) + value(1.0, 0.0) * u;
    let bottom = value(0.0, 1.0) * (1.0 - u) + value(1.0, 1.0) * u;
    top * (1.0 - v) + bottom * v
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_smooth_bounded_and_reproducible() {
        let value = |x| fractal(3, x, 0.37, 8.0, 3);
        let mut sum = 0.0;
        for i in 0..1000 {
            let x = f64::from(i) / 1000.0;
            assert!(value(x).abs() < 1.8 && (value(x) - value(x + 1e-4)).abs() < 0.02);
            sum += value(x);
        }
        assert!((sum / 1000.0).abs() < 0.5);
        assert_eq!(value(0.2), fractal(3, 0.2, 0.37, 8.0, 3));
        assert_ne!(value(0.2), fractal(4, 0.2, 0.37, 8.0, 3));
    }
}
