//! A small seeded generator (xoshiro256**, seeded by splitmix64), so that everything drawn here is reproducible
//! on every machine and with every version of every library.

/// xoshiro256** by Blackman and Vigna.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

/// One step of splitmix64: a bijective mix of 64 bits, also used to derive independent seeds.
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// `entries` with each so many times as `times` says, the fraction as one more for some, drawn by place and `salt`.
pub fn repeated(entries: &[usize], times: impl Fn(usize) -> f64, salt: u64) -> Vec<usize> {
    let of = |(place, entry): (usize, &usize)| {
        let times = times(*entry);
        let one_more = (mix(place as u64 ^ salt) as f64 / u64::MAX as f64) < times.fract();
        std::iter::repeat_n(*entry, times as usize + usize::from(one_more))
    };
    entries.iter().enumerate().flat_map(of).collect()
}

impl Random {
    /// The generator of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut s = seed;
        let state = std::array::from_fn(|_| {
            let word = mix(s);
            s = s.wrapping_add(0x9e37_79b9_7f4a_7c15);
            word
        });
        Random { state }
    }

    /// The generator of the `stream`-th independent sequence of `seed`.
    pub fn stream(seed: u64, stream: u64) -> Self {
        Random::new(mix(seed) ^ mix(stream ^ 0x5851_f42d_4c95_7f2d))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Uniform in [low, high).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in 0..n; 0 when n is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// True with probability p.
    pub fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// Standard normal (Box–Muller).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// One of `choices`, which must not be empty.
    pub fn pick<'a, T: ?Sized>(&mut self, choices: &[&'a T]) -> &'a T {
        choices[self.below(choices.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix_matches_its_published_first_outputs() {
        // Reference sequence of splitmix64 seeded with 1234567.
        let expected = [6457827717110365317u64, 3203168211198807973, 9817491932198370423];
        for (i, want) in expected.into_iter().enumerate() {
            assert_eq!(mix(1234567u64.wrapping_add(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(i as u64))), want);
        }
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(7);
        let n = 200_000;
        let normals: Vec<f64> = (0..n).map(|_| random.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.01 && (variance - 1.0).abs() < 0.02, "mean {mean}, variance {variance}");
        let mut counts = [0; 7];
        for _ in 0..70_000 {
            counts[random.below(7)] += 1;
        }
        assert!(counts.iter().all(|c| (9_500..10_500).contains(c)), "{counts:?}");
    }

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |s, k| Random::stream(s, k).bits();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
