//! Token after token: greedy, sampled or by beams, until a rule says stop.

use super::network::Scratch;
use super::{Cache, Decoder};
use crate::error::{Error, ErrorKind, Result};

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Search {
    /// The most probable one.
    #[default]
    Greedy,
    /// The best of several texts kept side by side, by mean log-probability; one is greed.
    Beam(usize),
    /// Drawn from the probabilities after division of the logits by `temperature`; the same seed draws the same text.
    Sample {
        /// Above 0.
        temperature: f32,
        /// Of the draw.
        seed: u64,
    },
}

/// How to write.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// How the next token is chosen.
    pub search: Search,
    /// Most tokens to write.
    pub max_new: usize,
    /// Whether to stop, and to drop the repetition, when the last tokens repeat those before them three times.
    pub stop_loops: bool,
}

/// Why writing stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An end token.
    End,
    /// `max_new` tokens.
    Length,
    /// The text went round in circles.
    Loop,
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The new tokens, without the end token.
    pub tokens: Vec<u32>,
    /// Natural log of each token's probability.
    pub log_probabilities: Vec<f32>,
    /// Why it stopped.
    pub stop: Stop,
}

impl Decoder {
    /// What the decoder writes, greedily, about the pooled tokens `image` [I, E]: a report of at most the manifest's length.
    ///
    /// # Errors
    /// As [`Decoder::generate`]; `Model` when it writes about no images.
    pub fn about(&self, image: &[f32]) -> Result<Generated> {
        let max_new = self.manifest.image.as_ref().map_or(0, |input| input.max_tokens);
        let prompt: Vec<u32> = self.manifest.bos_token.into_iter().collect();
        let options = Options { search: Search::Greedy, max_new, stop_loops: true };
        self.generate(Some(image), &prompt, &options, |_| {})
    }

    /// Continues `image` [I, E] (pooled tokens) and `prompt`. `each` hears every token as it is written (with beams
    /// only at the end).
    ///
    /// # Errors
    /// `Usage` for tokens beyond the vocabulary or options that make no sense; `Model` for an image of another encoder, or
    /// for probabilities that are not finite;
    /// `Limits` for more positions than may be kept.
    pub fn generate(
        &self,
        image: Option<&[f32]>,
        prompt: &[u32],
        options: &Options,
        mut each: impl FnMut(u32),
    ) -> Result<Generated> {
        let width = match options.search {
            Search::Beam(width) => width,
            _ => 1,
        };
        self.check(image, prompt, options.max_new.saturating_mul(width))?;
        let usage = |message: &str, hint: &str| Err(Error::new(ErrorKind::Usage, message).hint(hint));
        match options.search {
            Search::Beam(width) if !(1..=64).contains(&width) => return usage("too many or no beams", "use 1 to 64"),
            Search::Sample { temperature, .. } if !(temperature.is_finite() && temperature > 0.0) => {
                return usage("a temperature must be above 0", "leave it out for the most probable text");
            }
            _ => {}
        }
        let mut scratch = Scratch::default();
        let mut cache = self.cache(prompt.len() + options.max_new);
        let hidden = self.read(image, prompt, &mut cache, &mut scratch);
        let mut logits = vec![];
        let last = hidden.len() - self.manifest.architecture.hidden_size;
        self.network.logits(&hidden[last..], &mut logits, &mut scratch);
        if let Search::Beam(width @ 2..) = options.search {
            let generated = self.beams(width, cache, logits, options, &mut scratch);
            finite(&generated.log_probabilities)?;
            generated.tokens.iter().for_each(|token| each(*token));
            return Ok(generated);
        }
        let mut random = match options.search {
            Search::Sample { seed, .. } => SplitMix(seed),
            _ => SplitMix(0),
        };
        let mut out = Generated { tokens: vec![], log_probabilities: vec![], stop: Stop::Length };
        while out.tokens.len() < options.max_new {
            let token = match options.search {
                Search::Sample { temperature, .. } => sample(&logits, temperature, random.unit()),
                _ => largest(&logits),
            };
            if self.manifest.eos_tokens.contains(&(token as u32)) {
                out.stop = Stop::End;
                break;
            }
            let log_probability = logits[token] - log_sum_exp(&logits);
            finite(&[log_probability])?;
            out.log_probabilities.push(log_probability);
            out.tokens.push(token as u32);
            each(token as u32);
            if options.stop_loops && drop_loop(&mut out) {
                break;
            }
            if out.tokens.len() < options.max_new {
                self.step(token as u32, &mut cache, &mut logits, &mut scratch);
            }
        }
        Ok(out)
    }

    /// One token further: its logits.
    pub(super) fn step(&self, token: u32, cache: &mut Cache, logits: &mut Vec<f32>, scratch: &mut Scratch) {
        let mut x = vec![];
        self.network.embed(&[token], &mut x);
        self.network.forward(&mut x, cache, scratch);
        self.network.logits(&x, logits, scratch);
    }
}

/// Damaged weights make numbers that mean nothing.
fn finite(log_probabilities: &[f32]) -> Result<()> {
    match log_probabilities.iter().all(|value| value.is_finite()) {
        true => Ok(()),
        false => Err(Error::not_finite("a token's probability")),
    }
}

/// The first of the largest.
pub(super) fn largest(logits: &[f32]) -> usize {
    let better = |best: (usize, f32), (i, x): (usize, &f32)| if *x > best.1 { (i, *x) } else { best };
    logits.iter().enumerate().fold((0, f32::NEG_INFINITY), better).0
}

/// ln Σ exp
pub(super) fn log_sum_exp(logits: &[f32]) -> f32 {
    let peak = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let sum: f64 = logits.iter().map(|x| f64::from(x - peak).exp()).sum();
    peak + sum.ln() as f32
}

fn sample(logits: &[f32], temperature: f32, unit: f64) -> usize {
    let peak = logits.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    let weights = logits.iter().map(|x| f64::from((x - peak) / temperature).exp());
    let mut left = unit * weights.clone().sum::<f64>();
    for (i, weight) in weights.enumerate() {
        left -= weight;
        if left < 0.0 {
            return i;
        }
    }
    largest(logits)
}

/// Whether the last n tokens are the same as the n before and the n before those, for some n ≥ 4 (one to three for
/// single words said over and over); if so the two repetitions are dropped.
fn drop_loop(out: &mut Generated) -> bool {
    let tokens = &out.tokens;
    let round = (4..=tokens.len() / 3).find(|n| {
        let tail = &tokens[tokens.len() - 3 * n..];
        tail[..*n] == tail[*n..2 * n] && tail[*n..2 * n] == tail[2 * n..]
    });
    let Some(n) = round else { return false };
    let keep = tokens.len() - 2 * n;
    out.tokens.truncate(keep);
    out.log_probabilities.truncate(keep);
    out.stop = Stop::Loop;
    true
}

/// Steele, Lea and Flood's SplitMix64.
struct SplitMix(u64);

impl SplitMix {
    /// In [0, 1).
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_temperature_is_greedy_and_a_high_one_is_fair() {
        let logits = [1.0, 3.0, 2.0];
        let mut random = SplitMix(7);
        assert!((0..200).all(|_| sample(&logits, 0.01, random.unit()) == 1));
        let mut counts = [0; 3];
        (0..3000).for_each(|_| counts[sample(&logits, 1e6, random.unit())] += 1);
        assert!(counts.iter().all(|n| (900..1100).contains(n)), "{counts:?}");
    }

    #[test]
    fn what_repeats_three_times_is_kept_once() {
        let tokens = vec![9, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4];
        let mut out = Generated { log_probabilities: vec![0.0; tokens.len()], tokens, stop: Stop::Length };
        assert!(drop_loop(&mut out));
        assert_eq!((out.tokens, out.log_probabilities.len(), out.stop), (vec![9, 1, 2, 3, 4], 5, Stop::Loop));
    }

    #[test]
    fn log_sum_exp_does_not_overflow() {
        assert!((log_sum_exp(&[1000.0, 1000.0]) - (1000.0 + 2f32.ln())).abs() < 1e-3);
    }
}
