//! Several texts side by side.

use super::generate::{Generated, Options, Stop, log_sum_exp};
use super::network::Scratch;
use super::{Cache, Decoder};

/// A text on its way.
#[derive(Clone)]
struct Beam {
    cache: Cache,
    logits: Vec<f32>,
    tokens: Vec<u32>,
    log_probabilities: Vec<f32>,
    total: f32,
}

impl Decoder {
    /// The text with the best mean log-probability (its end token counted) among `width` kept side by side.
    pub(super) fn beams(
        &self,
        width: usize,
        cache: Cache,
        logits: Vec<f32>,
        options: &Options,
        scratch: &mut Scratch,
    ) -> Generated {
        let mut live = vec![Beam { cache, logits, tokens: vec![], log_probabilities: vec![], total: 0.0 }];
        let mut best: Option<(f32, Generated)> = None;
        for length in 1..=options.max_new {
            // (total, beam, token, log-probability), the best first; ties go to the earlier beam and token
            let mut next: Vec<(f32, usize, u32, f32)> = vec![];
            for (b, beam) in live.iter().enumerate() {
                let sum = log_sum_exp(&beam.logits);
                let mut own: Vec<(u32, f32)> =
                    beam.logits.iter().enumerate().map(|(t, x)| (t as u32, x - sum)).collect();
                own.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                next.extend(own.into_iter().take(2 * width).map(|(t, p)| (beam.total + p, b, t, p)));
            }
            next.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
            let mut kept = vec![];
            for (total, b, token, p) in next {
                if kept.len() == width {
                    break;
                }
                if self.manifest.eos_tokens.contains(&token) {
                    offer(&mut best, total / length as f32, &live[b], Stop::End);
                    continue;
                }
                let mut beam = live[b].clone();
                beam.tokens.push(token);
                beam.log_probabilities.push(p);
                beam.total = total;
                kept.push(beam);
            }
            live = kept;
            // a live text's mean can still rise, but not above what its best continuation by certainties would give
            let ceiling = live.iter().map(|beam| beam.total / options.max_new as f32).fold(f32::NEG_INFINITY, f32::max);
            if live.is_empty() || best.as_ref().is_some_and(|(score, _)| *score >= ceiling) {
                break;
            }
            if length < options.max_new {
                for beam in &mut live {
                    let Some(token) = beam.tokens.last() else { continue };
                    self.step(*token, &mut beam.cache, &mut beam.logits, scratch);
                }
            }
        }
        for beam in &live {
            offer(&mut best, beam.total / beam.tokens.len().max(1) as f32, beam, Stop::Length);
        }
        let nothing = Generated { tokens: vec![], log_probabilities: vec![], stop: Stop::Length };
        best.map_or(nothing, |(_, generated)| generated)
    }
}

fn offer(best: &mut Option<(f32, Generated)>, score: f32, beam: &Beam, stop: Stop) {
    if best.as_ref().is_none_or(|(other, _)| score > *other) {
        let (tokens, log_probabilities) = (beam.tokens.clone(), beam.log_probabilities.clone());
        *best = Some((score, Generated { tokens, log_probabilities, stop }));
    }
}
