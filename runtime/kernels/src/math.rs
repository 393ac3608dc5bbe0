//! exp, erf, GELU and SiLU over the sixteen lanes, by own polynomials, so that they are the same bits everywhere.

use crate::lanes::F32x16;

/// eˣ for x ≤ 88, relative error < 2e-7; below −87 the result is e⁻⁸⁷ ≈ 1.6e-38.
///
/// n = round(x·log₂e), r = x − n·ln 2 in two pieces, e^r by a polynomial of degree 7 (Taylor, |r| ≤ 0.347), times 2ⁿ.
#[inline(always)]
pub(crate) fn exp<V: F32x16>(x: V) -> V {
    let x = x.max(V::splat(-87.0)).min(V::splat(88.0));
    let n = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
    let r = n.fma(V::splat(-0.693_359_4), x);
    let r = n.fma(V::splat(2.121_944_4e-4), r);
    let mut p = V::splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = p.fma(r, V::splat(c));
    }
    p.mul(n.pow2())
}

/// 2ˣ for x ≤ 0 by the polynomial `c` (highest power first) on [−½, ½]; below −100 the result is 2⁻¹⁰⁰.
#[inline(always)]
pub(crate) fn exp2<V: F32x16, const N: usize>(x: V, c: [f32; N]) -> V {
    // adding 1.5·2²³ leaves the nearest integer in the low bits
    let magic = V::splat(12_582_912.0);
    let x = x.max(V::splat(-100.0));
    let shifted = x.add(magic);
    let f = x.sub(shifted.sub(magic));
    let mut p = V::splat(c[0]);
    for c in &c[1..] {
        p = p.fma(f, V::splat(*c));
    }
    p.scale_by(shifted)
}

/// For [`exp2`]: relative error < 2e-7.
pub(crate) const EXP2: [f32; 7] =
    [1.534_581_2e-4, 1.339_993_1e-3, 9.618_489e-3, 5.550_328_6e-2, 0.240_226_46, std::f32::consts::LN_2, 1.0];

/// For [`exp2`]: 255·2ˣ, relative error < 8e-5, which is a fiftieth of a step of the largest value.
pub(crate) const EXP2_STEPS: [f32; 4] = [14.068_776, 61.865_837, 176.781_56, 254.981_66];

/// erf x, absolute error < 4e-7: an odd rational function on [−4, 4], outside of which erf is ±1 to within 2e-8.
///
/// The coefficients are the minimax fit that Eigen and others publish for f32.
#[inline(always)]
pub(crate) fn erf<V: F32x16>(x: V) -> V {
    let x = x.max(V::splat(-4.0)).min(V::splat(4.0));
    let x2 = x.mul(x);
    let mut p = V::splat(-2.726_142_3e-10);
    for c in [2.770_681_5e-8, -2.101_024e-6, -5.692_506_5e-5, -7.349_906_5e-4, -2.954_6e-3, -1.609_603_3e-2] {
        p = p.fma(x2, V::splat(c));
    }
    let mut q = V::splat(-1.456_607_2e-5);
    for c in [-2.133_740_6e-4, -1.682_827e-3, -7.373_329e-3, -1.426_473_9e-2] {
        q = q.fma(x2, V::splat(c));
    }
    x.mul(p).div(q)
}

/// x·Φ(x) with Φ by [`erf`] (the exact GELU, not the tanh form).
#[inline(always)]
pub(crate) fn gelu<V: F32x16>(x: V) -> V {
    let half = x.mul(V::splat(0.5));
    half.fma(erf(x.mul(V::splat(std::f32::consts::FRAC_1_SQRT_2))), half)
}

/// x / (1 + e⁻ˣ)
#[inline(always)]
pub(crate) fn silu<V: F32x16>(x: V) -> V {
    let e = exp(V::splat(0.0).sub(x));
    x.div(e.add(V::splat(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Array16;

    fn each(f: impl Fn(Array16) -> Array16, x: f32) -> f64 {
        let mut out = [0.0; 16];
        f(Array16::splat(x)).store(&mut out);
        f64::from(out[0])
    }

    /// erf by its Taylor series in f64, good to 1e-12 on [−4, 4].
    fn erf64(x: f64) -> f64 {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        2.0 / std::f64::consts::PI.sqrt() * sum
    }

    #[test]
    fn exp_is_within_its_bound() {
        let worst = (-8700..=8800)
            .map(|i| {
                let x = i as f32 / 100.0;
                let truth = f64::from(x).exp();
                ((each(exp, x) - truth) / truth).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 2e-7, "{worst}");
        assert!(each(exp, -1e30) < 2e-38);
    }

    #[test]
    fn exp2_is_within_its_bounds() {
        let worst = |f: &dyn Fn(f32) -> f64| (-9900..=0).map(|i| f(i as f32 / 100.0)).fold(0.0, f64::max);
        let fine = worst(&|x| (each(|x| exp2(x, EXP2), x) / f64::from(x).exp2() - 1.0).abs());
        assert!(fine < 2e-7, "{fine}");
        let steps = worst(&|x| (each(|x| exp2(x, EXP2_STEPS), x) / (255.0 * f64::from(x).exp2()) - 1.0).abs());
        assert!(steps < 8e-5, "{steps}");
        assert!(each(|x| exp2(x, EXP2), f32::NEG_INFINITY) < 1e-30);
    }

    #[test]
    fn erf_is_within_its_bound() {
        let worst = (-4000..=4000)
            .map(|i| {
                let x = i as f32 / 1000.0;
                (each(erf, x) - erf64(f64::from(x))).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 4e-7, "{worst}");
        assert!((each(erf, 30.0) - 1.0).abs() < 4e-7);
    }

    #[test]
    fn gelu_keeps_its_range_on_the_tails() {
        assert!((each(gelu, 20.0) - 20.0).abs() < 4e-6);
        assert!(each(gelu, -20.0).abs() < 1e-5);
        assert!((each(gelu, 1.0) - 0.841_344_746).abs() < 5e-7);
    }

    #[test]
    fn silu_matches_f64() {
        for i in -200..=200 {
            let x = i as f32 / 10.0;
            let truth = f64::from(x) / (1.0 + f64::from(-x).exp());
            assert!((each(silu, x) - truth).abs() < 1e-6 * (1.0 + truth.abs()));
        }
    }
}
