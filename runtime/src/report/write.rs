//! A decoder that writes about what the encoder saw.

use super::decoder::{Decoder, Generated, Options, Search};
use super::labeller::{Assertion, sentences};
use super::tokenizer::Tokenizer;
use super::{Report, Sentence, contradictions, omissions};
use crate::engine::Shape;
use crate::error::{Error, ErrorKind, Result};
use crate::output::json::Warning;
use crate::probe::FindingResult;

/// A decoder that fits an encoder.
#[derive(Debug)]
pub struct Writer {
    decoder: Decoder,
    grounded: bool,
}

impl Writer {
    /// `shape` and `encoder_sha256` (of the checkpoint's weights; empty when unknown) are the encoder's; `grounded` leaves
    /// out sentences that the probes contradict.
    ///
    /// # Errors
    /// `Model` when the decoder writes about no images, has no tokenizer, or was trained with another encoder.
    pub fn new(decoder: Decoder, shape: Shape, encoder_sha256: &str, grounded: bool) -> Result<Self> {
        let refuse = |message: &str| {
            Err(Error::new(ErrorKind::Model, format!("decoder {}: {message}", decoder.manifest().name))
                .hint("use the decoder that was trained with this encoder, or leave --decoder out"))
        };
        let Some(image) = &decoder.manifest().image else { return refuse("it writes about no images") };
        if decoder.tokenizer().is_none() {
            return refuse("it has no tokenizer");
        }
        if image.encoder_width != shape.embed_dim || image.grid * image.grid != shape.patches {
            return refuse("it was trained with an encoder of another shape");
        }
        if !encoder_sha256.is_empty() && !image.encoder_sha256.is_empty() && image.encoder_sha256 != encoder_sha256 {
            return refuse("it was trained with another encoder");
        }
        Ok(Writer { decoder, grounded })
    }

    /// The decoder.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// What the decoder writes, greedily, about `patches` [P, E].
    ///
    /// # Errors
    /// Those of [`Decoder::generate`].
    pub fn generate(&self, patches: &[f32]) -> Result<Generated> {
        let manifest = self.decoder.manifest();
        let image = manifest.image.as_ref().map(|input| (input.pool(patches), input.max_tokens));
        let (image, max_new) = image.map_or((None, 0), |(image, most)| (Some(image), most));
        let prompt: Vec<u32> = manifest.bos_token.into_iter().collect();
        let options = Options { search: Search::Greedy, max_new, stop_loops: true };
        self.decoder.generate(image.as_deref(), &prompt, &options, |_| {})
    }

    /// The report about `patches` [P, E] and what to warn of; None when nothing is left to say.
    ///
    /// # Errors
    /// As [`Writer::generate`].
    pub fn write(&self, patches: &[f32], findings: &[FindingResult]) -> Result<(Option<Report>, Vec<Warning>)> {
        let generated = self.generate(patches)?;
        let Some(tokenizer) = self.decoder.tokenizer() else { return Ok((None, vec![])) };
        let (mut kept, mut warnings) = (vec![], vec![]);
        for mut sentence in told(tokenizer, &generated) {
            let found = contradictions(&sentence.text, findings);
            for c in &found {
                let says = match c.assertion {
                    Assertion::Positive => "asserts",
                    Assertion::Uncertain => "suspects",
                    Assertion::Negative => "denies",
                };
                let fate = if self.grounded { "the sentence was left out" } else { "the sentence was kept" };
                let message = format!(
                    "the decoder {says} {} (\"{}\"), the probe gives {:.2} (threshold {:.2}); {fate}",
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
            return Ok((None, warnings));
        }
        let text = kept.iter().map(|s| s.text.as_str()).collect::<Vec<_>>().join(" ");
        let silent = omissions(&text, findings);
        if !silent.is_empty() {
            let message = format!("the probes find {}, of which the report says nothing", silent.join(", "));
            warnings.push(Warning { kind: "report_omission", message });
        }
        Ok((Some(Report { text, source: "decoder", sentences: kept }), warnings))
    }
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
