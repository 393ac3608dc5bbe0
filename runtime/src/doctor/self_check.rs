use sha2::{Digest, Sha256};

use super::{Check, picture};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::Precision;
use crate::preprocess::{Preprocessing, preprocess};

/// Fingerprints of models of ours, a line each: the model file's sha256, the answer's fingerprint, a name.
const KNOWN: &str = include_str!("../../../models/fingerprints.txt");
const NAME: &str = "self-check";

/// What a model says of [`picture`].
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// All outputs one after the other, in the graph's order.
    pub values: Vec<f32>,
}

impl Answer {
    /// Runs `engine` on the built-in picture.
    ///
    /// # Errors
    /// Those of the engine; `Internal` for an answer that is not finite.
    pub fn of(engine: &Engine) -> Result<Self> {
        let size = engine.shape().image_size;
        let preprocessing = engine.preprocessing().cloned().unwrap_or_else(|| Preprocessing::plain(size));
        let mut pixels = vec![0.0; 3 * size * size];
        preprocess(&picture(), &preprocessing, &mut pixels)?;
        let outputs = engine.run(&pixels, 1)?;
        let values: Vec<f32> = outputs.tensors().iter().flat_map(|tensor| &tensor.values).copied().collect();
        if values.iter().any(|x| !x.is_finite()) {
            return Err(Error::new(ErrorKind::Model, "the model's answer to the built-in picture is not finite")
                .hint("verify the model file, or fetch it again"));
        }
        Ok(Answer { values })
    }

    /// The first half of the sha256 of the values' little-endian bytes, in hex.
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        self.values.iter().for_each(|x| hash.update(x.to_le_bytes()));
        hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }

    /// |ours − other| / |other|, Euclidean.
    fn distance(&self, other: &Answer) -> f64 {
        let square = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
        let pairs = self.values.iter().zip(&other.values);
        let apart = square(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
        apart / square(&mut other.values.iter().map(|x| f64::from(*x))).max(f64::MIN_POSITIVE)
    }
}

/// What an answer is held to.
#[derive(Clone, Debug)]
pub enum Reference {
    /// A fingerprint that was recorded with the model.
    Recorded(&'static str),
    /// What plain code says on this machine.
    Scalar(Answer),
}

/// The recorded fingerprint of the int8 model file with this sha256.
pub fn known(sha256: &str) -> Option<&'static str> {
    KNOWN.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some(sha256)).then(|| words.next()).flatten()
    })
}

/// Holds `answer` to `reference`: the same bytes from an int8 model, a bound for float models, whose vector units may
/// round otherwise: |difference| / |answer| ≤ 1e-4 (fp32), ≤ 2e-2 (fp16).
pub fn compare(engine: &Engine, answer: &Answer, reference: &Reference) -> Check {
    const BROKEN: &str = "this CPU or this memory computes wrongly, or the program is damaged: do not use this box; \
                          verify the binary, run a memory test";
    let isa = engine.isa();
    let fingerprint = answer.fingerprint();
    match reference {
        Reference::Recorded(recorded) if *recorded == fingerprint => {
            Check::ok(NAME, format!("{isa} gives the recorded bytes ({fingerprint})"))
        }
        Reference::Recorded(recorded) => {
            Check::failed(NAME, format!("{isa} gives {fingerprint}, recorded is {recorded}"), BROKEN)
        }
        Reference::Scalar(scalar) => {
            let bound = match engine.manifest().map(|m| m.precision) {
                Some(Precision::Int8) => 0.0,
                Some(Precision::Fp32) | None => 1e-4,
                Some(Precision::Fp16) => 2e-2,
            };
            let apart = answer.distance(scalar);
            if apart <= bound && answer.values.len() == scalar.values.len() {
                let how =
                    if apart == 0.0 { "the bytes of plain code".into() } else { format!("{apart:.1e} off plain code") };
                Check::ok(NAME, format!("{isa} gives {how} ({fingerprint})"))
            } else {
                Check::failed(NAME, format!("{isa} is {apart:.1e} off plain code, allowed is {bound:.0e}"), BROKEN)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_fingerprints_are_well_formed() {
        for line in KNOWN.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let words: Vec<_> = line.split_whitespace().collect();
            assert_eq!((words.len(), words[0].len(), words[1].len()), (3, 64, 32), "{line}");
            assert_eq!(known(words[0]), Some(words[1]));
        }
        assert_eq!(known("#"), None);
    }

    #[test]
    fn one_bit_changes_the_fingerprint_and_the_distance() {
        let answer = Answer { values: vec![3.0, 4.0] };
        let other = Answer { values: vec![3.0, f32::from_bits(4.0f32.to_bits() ^ 1)] };
        assert_ne!(answer.fingerprint(), other.fingerprint());
        assert!(answer.distance(&other) > 0.0);
        assert_eq!(answer.distance(&answer.clone()), 0.0);
    }
}
