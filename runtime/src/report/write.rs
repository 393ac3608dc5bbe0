//! A written report about what the encoder saw, held against the probes.

use super::author::Author;
use super::decoder::Generated;
use super::labeller::{Assertion, sentences};
use super::tokenizer::Tokenizer;
use super::{Report, Sentence, contradictions, omissions};
use crate::engine::Shape;
use crate::error::{Error, ErrorKind, Result};
use crate::output::json::Warning;
use crate::probe::FindingResult;

/// An author that fits an encoder.
#[derive(Debug)]
pub struct Writer {
    author: Author,
    grounded: bool,
}

impl Writer {
    /// `shape` and `encoder_sha256` (of the checkpoint's weights; empty when unknown) are the encoder's; `grounded` leaves
    /// out sentences that the probes contradict.
    ///
    /// # Errors
    /// `Model` when a decoder writes about no images or has no tokenizer, or when the author was made with another encoder.
    pub fn new(author: Author, shape: Shape, encoder_sha256: &str, grounded: bool) -> Result<Self> {
        let (name, fits, made_with) = match &author {
            Author::Decoder(decoder) => {
                let name = format!("decoder {}", decoder.manifest().name);
                let refuse = |message: &str| refused(&name, message);
                let image = decoder.manifest().image.as_ref().ok_or_else(|| refuse("it writes about no images"))?;
                if decoder.tokenizer().is_none() {
                    return Err(refuse("it has no tokenizer"));
                }
                let fits = image.encoder_width == shape.embed_dim && image.grid * image.grid == shape.patches;
                (name, fits, image.encoder_sha256.clone())
            }
            Author::Retrieval(retrieval) => {
                let manifest = retrieval.manifest();
                let fits = (manifest.encoder_width, manifest.image_size) == (shape.embed_dim, shape.image_size);
                (format!("retrieval {}", manifest.name), fits, manifest.encoder_sha256.clone())
            }
        };
        if !fits {
            return Err(refused(&name, "it was made with an encoder of another shape"));
        }
        if !encoder_sha256.is_empty() && !made_with.is_empty() && made_with != encoder_sha256 {
            return Err(refused(&name, "it was made with another encoder"));
        }
        Ok(Writer { author, grounded })
    }

    /// The report about a film of CLS token `cls` [E] and `patches` [P, E], and what to warn of; None when nothing is left to
    /// say.
    ///
    /// # Errors
    /// Those of [`Decoder::about`](super::decoder::Decoder::about).
    pub fn write(
        &self,
        cls: &[f32],
        patches: &[f32],
        findings: &[FindingResult],
    ) -> Result<(Option<Report>, Vec<Warning>)> {
        match &self.author {
            Author::Decoder(decoder) => {
                let image = decoder.manifest().image.as_ref().map_or_else(Vec::new, |input| input.pool(patches));
                let generated = decoder.about(&image)?;
                let told = decoder.tokenizer().map_or_else(Vec::new, |tokenizer| told(tokenizer, &generated));
                Ok(self.hold("decoder", told, findings))
            }
            Author::Retrieval(retrieval) => {
                let told = retrieval.nearest(cls).map_or_else(Vec::new, |(report, cosine)| repeated(report, cosine));
                Ok(self.hold("retrieval", told, findings))
            }
        }
    }

    /// `told` by `source`, held against the probes.
    fn hold(
        &self,
        source: &'static str,
        told: Vec<Sentence>,
        findings: &[FindingResult],
    ) -> (Option<Report>, Vec<Warning>) {
        let (mut kept, mut warnings) = (vec![], vec![]);
        for mut sentence in told {
            let found = contradictions(&sentence.text, findings);
            for c in &found {
                let says = match c.assertion {
                    Assertion::Positive => "asserts",
                    Assertion::Uncertain => "suspects",
                    Assertion::Negative => "denies",
                };
                let fate = if self.grounded { "the sentence was left out" } else { "the sentence was kept" };
                let message = format!(
                    "the {source} {says} {} (\"{}\"), the probe gives {:.2} (threshold {:.2}); {fate}",
                    c.label, sentence.text, c.probability, c.threshold
                );
                warnings.push(Warning { kind: "report_contradiction", message });
            }
            if found.is_empty() || !self.grounded {
                sentence.contradicts = found.into_iter().map(|c| c.label).collect();
                kept.push(sentence);
            }
        }
        if kept.is_empty() {
            return (None, warnings);
        }
        let text = kept.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(" ");
        let silent = omissions(&text, findings);
        if !silent.is_empty() {
            let message = format!("the probes find {}, of which the report says nothing", silent.join(", "));
            warnings.push(Warning { kind: "report_omission", message });
        }
        (Some(Report { text, source, sentences: kept }), warnings)
    }
}

fn refused(name: &str, message: &str) -> Error {
    Error::new(ErrorKind::Model, format!("{name}: {message}"))
        .hint("use the one that was made with this encoder, or leave --decoder out")
}

/// The sentences of another film's report, each as sure as the films are alike.
fn repeated(report: &str, cosine: f64) -> Vec<Sentence> {
    let sentence = |part: &str| Sentence { text: part.to_owned(), confidence: cosine.max(0.0), contradicts: vec![] };
    sentences(report).into_iter().map(sentence).collect()
}

/// The sentences of a text, each with the geometric mean of its tokens' probabilities.
fn told(tokenizer: &Tokenizer, generated: &Generated) -> Vec<Sentence> {
    let text = tokenizer.decode(&generated.tokens);
    let ends: Vec<usize> =
        (1..=generated.tokens.len()).map(|n| tokenizer.decode(&generated.tokens[..n]).len()).collect();
    let mut from = 0;
    let mut out = vec![];
    for part in sentences(&text) {
        // the parts are slices of the text, in order
        let Some(at) = text[from..].find(part) else { continue };
        let (start, end) = (from + at, from + at + part.len());
        from = end;
        let own = generated.log_probabilities.iter().zip(&ends).enumerate();
        let own: Vec<f64> = own
            .filter(|(i, (_, stop))| **stop > start && i.checked_sub(1).map_or(0, |i| ends[i]) < end)
            .map(|(_, (p, _))| f64::from(*p))
            .collect();
        let confidence = (own.iter().sum::<f64>() / own.len().max(1) as f64).exp();
        out.push(Sentence { text: part.to_owned(), confidence, contradicts: vec![] });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::decoder::Stop;
    use super::*;

    #[test]
    fn a_sentence_is_as_sure_as_its_tokens() {
        let json = r#"{"model":{"vocab":{"No":0,"Ġmass":1,".":2,"ĠFat":3,"Ġcat":4}},"decoder":{"type":"ByteLevel"}}"#;
        let tokenizer = Tokenizer::parse(json).unwrap();
        let half = 0.5f32.ln();
        let generated = Generated {
            tokens: vec![0, 1, 2, 3, 4, 2],
            log_probabilities: vec![0.0, 0.0, 0.0, half, half, half],
            stop: Stop::End,
        };
        let told = told(&tokenizer, &generated);
        assert_eq!(told.iter().map(|s| s.text.as_str()).collect::<Vec<_>>(), ["No mass.", "Fat cat."]);
        assert!((told[0].confidence - 1.0).abs() < 1e-9 && (told[1].confidence - 0.5).abs() < 1e-6, "{told:?}");
    }
}
