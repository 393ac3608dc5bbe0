//! Sixteen virtual f32 lanes: every float operation of ours is written once over them and means the same bits on every
//! instruction set (IEEE add, multiply, divide, square root, fused multiply-add; sums in one fixed tree).

/// Sixteen f32 values. All methods are `inline(always)`, so that they take on the features of the function they end up in.
pub(crate) trait F32x16: Copy {
    fn splat(x: f32) -> Self;
    fn load(x: &[f32; 16]) -> Self;
    fn store(self, out: &mut [f32; 16]);
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    /// self·b + c with one rounding.
    fn fma(self, b: Self, c: Self) -> Self;
    /// self > b ? self : b
    fn max(self, b: Self) -> Self;
    /// self < b ? self : b
    fn min(self, b: Self) -> Self;
    fn abs(self) -> Self;
    /// To the nearest integer, ties to even.
    fn round(self) -> Self;
    /// 2^self for integral values in [−126, 127].
    fn pow2(self) -> Self;
    /// self·2ⁿ, n in the low bits of `shifted`, which is 1.5·2²³ + n. self and the result are normal.
    fn scale_by(self, shifted: Self) -> Self;
    /// To the nearest integers in [−128, 127], ties to even, as bytes, +128.
    fn store_biased_u8(self, out: &mut [u8; 16]);
    /// To the nearest integers in [0, 255], ties to even.
    fn store_u8(self, out: &mut [u8; 16]);
    /// Integral values in [−128, 127]: out[4·lane + i] = rows[i]'s lane.
    fn store_quads(rows: [Self; 4], out: &mut [i8; 64]);
    fn from_i32(x: &[i32; 16]) -> Self;
    /// x − y
    fn from_difference(x: &[i32; 16], y: &[i32; 16]) -> Self;
    /// The sum of all bytes.
    fn sum_bytes(x: &[u8; 64]) -> u32;
    /// Sum in the fixed tree: lanes i and i+8, then i and i+4, then i and i+2, then the two left.
    fn sum(self) -> f32;
    /// The largest lane.
    fn reduce_max(self) -> f32;

    /// Lane i is the largest of row i, for the first `n` rows; what the other rows hold and give is of no matter.
    #[inline(always)]
    fn reduce_rows_max(rows: &[[f32; 16]; 16], n: usize) -> Self {
        let mut lanes = [-1e30; 16];
        for (lane, row) in lanes.iter_mut().zip(rows).take(n) {
            *lane = Self::load(row).reduce_max();
        }
        Self::load(&lanes)
    }

    /// Lane i is the sum of row i, for the first `n` rows, as above.
    #[inline(always)]
    fn sum_rows(rows: &[[u8; 64]; 16], n: usize) -> Self {
        let mut lanes = [0.0; 16];
        for (lane, row) in lanes.iter_mut().zip(rows).take(n) {
            *lane = Self::sum_bytes(row) as f32;
        }
        Self::load(&lanes)
    }

    /// The first lanes from `x`, the others 0.
    #[inline(always)]
    fn load_partial(x: &[f32]) -> Self {
        let mut lanes = [0.0; 16];
        lanes[..x.len()].copy_from_slice(x);
        Self::load(&lanes)
    }

    /// [`F32x16::load`] where `x` has 16 values, [`F32x16::load_partial`] where it has fewer.
    #[inline(always)]
    fn load_up_to_16(x: &[f32]) -> Self {
        match <&[f32; 16]>::try_from(x) {
            Ok(full) => Self::load(full),
            Err(_) => Self::load_partial(x),
        }
    }
}

/// The truth: an array.
#[derive(Clone, Copy)]
pub(crate) struct Array16([f32; 16]);

impl Array16 {
    #[inline(always)]
    fn map2(self, b: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Array16(std::array::from_fn(|i| f(self.0[i], b.0[i])))
    }
}

impl F32x16 for Array16 {
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Array16([x; 16])
    }
    #[inline(always)]
    fn load(x: &[f32; 16]) -> Self {
        Array16(*x)
    }
    #[inline(always)]
    fn store(self, out: &mut [f32; 16]) {
        *out = self.0;
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        self.map2(b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        self.map2(b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        self.map2(b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        self.map2(b, |a, b| a / b)
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        Array16(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        self.map2(b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        self.map2(b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn abs(self) -> Self {
        Array16(self.0.map(f32::abs))
    }
    #[inline(always)]
    fn round(self) -> Self {
        Array16(self.0.map(f32::round_ties_even))
    }
    #[inline(always)]
    fn pow2(self) -> Self {
        Array16(self.0.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23)))
    }
    #[inline(always)]
    fn scale_by(self, shifted: Self) -> Self {
        self.map2(shifted, |x, n| f32::from_bits(x.to_bits().wrapping_add(n.to_bits() << 23)))
    }
    #[inline(always)]
    fn store_biased_u8(self, out: &mut [u8; 16]) {
        *out = self.0.map(|n| (n.round_ties_even() as i32 + 128) as u8);
    }
    #[inline(always)]
    fn store_u8(self, out: &mut [u8; 16]) {
        *out = self.0.map(|n| n.round_ties_even() as u8);
    }
    #[inline(always)]
    fn store_quads(rows: [Self; 4], out: &mut [i8; 64]) {
        *out = std::array::from_fn(|i| rows[i % 4].0[i / 4] as i8);
    }
    #[inline(always)]
    fn from_i32(x: &[i32; 16]) -> Self {
        Array16(x.map(|n| n as f32))
    }
    #[inline(always)]
    fn from_difference(x: &[i32; 16], y: &[i32; 16]) -> Self {
        Array16(std::array::from_fn(|i| (x[i] - y[i]) as f32))
    }
    #[inline(always)]
    fn sum_bytes(x: &[u8; 64]) -> u32 {
        x.iter().map(|b| u32::from(*b)).sum()
    }
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut lanes = self.0;
        for width in [8, 4, 2, 1] {
            for i in 0..width {
                lanes[i] += lanes[i + width];
            }
        }
        lanes[0]
    }
    #[inline(always)]
    fn reduce_max(self) -> f32 {
        self.0.into_iter().fold(f32::NEG_INFINITY, |a, b| if b > a { b } else { a })
    }
}
