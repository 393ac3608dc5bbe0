//! A second task for the projector while it learns: which labels the report asserts, from the mean of the image tokens it
//! makes. A few thousand reports, most of them of healthy chests, teach a decoder to write; what a film shows is a handful of
//! their words, and this says it directly. The head is not part of what is written.

use burn::nn::Linear;
use burn::tensor::activation::log_sigmoid;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::Result;
use rad_dino_edge::report::decoder::Decoder;
use rad_dino_edge::report::labeller::{Assertion, CHEXPERT_14, asserted, label};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::batch::Images;
use super::corpus::Example;
use crate::metrics::f1::Confusion;
use crate::random::Random;
use crate::vit::initial::truncated_normal;
use crate::vit::linear::linear;

/// A rare label's films count so many times at most.
const MOST: f32 = 8.0;

/// Micro-F1 of what a decoder writes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct F1 {
    /// Of the texts about their own films.
    pub seeing: f64,
    /// Of the same texts, each given to another film.
    pub blind: f64,
}

impl F1 {
    /// What a look is chosen by: the F1 and as much again of it as is owed to the images. A text that says of every film what
    /// is true of most has an F1, too.
    pub fn worth(&self) -> f64 {
        2.0 * self.seeing - self.blind
    }
}

/// What `text` says of CheXpert's 14 labels. A radiologist's silence means absent; that of a `composed` report, nothing.
pub fn labels(text: &str, composed: bool) -> Vec<Option<bool>> {
    let said = label(text);
    let of = |name: &&str| said.get(name).map(|assertion| *assertion != Assertion::Negative);
    CHEXPERT_14.iter().map(|name| of(name).or((!composed).then_some(false))).collect()
}

/// A fresh head [14, D] on image tokens of width `inputs`.
pub fn fresh<B: Backend>(inputs: usize, seed: u64, device: &B::Device) -> Linear<B> {
    let weight = truncated_normal(CHEXPERT_14.len() * inputs, &mut Random::stream(seed, 0x6669_6e64));
    linear(&weight, Some(&[0.0; CHEXPERT_14.len()]), inputs, device)
}

/// How much a film with each label counts beside one without: absent / present among `examples`, 1 to 8.
pub fn weights(examples: &[Example]) -> Vec<f32> {
    let count = |i: usize, value: bool| examples.iter().filter(|e| e.labels[i] == Some(value)).count() as f32;
    (0..CHEXPERT_14.len()).map(|i| (count(i, false) / count(i, true).max(1.0)).clamp(1.0, MOST)).collect()
}

/// Weighted mean of the cross-entropies of `logits` [N, 14] against what is known of `examples`.
pub fn loss<B: Backend>(logits: Tensor<B, 2>, examples: &[&Example], weights: &[f32]) -> Tensor<B, 1> {
    let of = |value: bool| {
        let values = examples.iter().flat_map(|example| {
            let weight = |(label, weight): (&Option<bool>, &f32)| match (*label == Some(value), value) {
                (false, _) => 0.0,
                (true, true) => *weight,
                (true, false) => 1.0,
            };
            example.labels.iter().zip(weights).map(weight)
        });
        values.collect::<Vec<f32>>()
    };
    let (present, absent) = (of(true), of(false));
    let total: f32 = present.iter().chain(&absent).sum();
    let tensor = |values| Tensor::<B, 2>::from_data(TensorData::new(values, logits.dims()), &logits.device());
    let (present, absent) = (tensor(present), tensor(absent));
    let gain = log_sigmoid(logits.clone()).mul(present).add(log_sigmoid(logits.neg()).mul(absent));
    gain.sum().div_scalar(-total.max(1.0))
}

/// Micro-F1 of the 14 labels in what `decoder` writes, greedily, about the films of `examples`, and the same when each film
/// gets the text of another, half of them away; of a composed report only labels that it speaks of count. None when nothing
/// is asserted anywhere.
///
/// # Errors
/// Those of [`Decoder::about`].
pub fn f1(decoder: &Decoder, images: Images<'_>, examples: &[&Example]) -> Result<Option<F1>> {
    let Some(tokenizer) = decoder.tokenizer() else { return Ok(None) };
    let write = |example: &&Example| Ok(asserted(&tokenizer.decode(&decoder.about(images.of(example.film))?.tokens)));
    let said: Vec<Vec<&str>> = examples.par_iter().map(write).collect::<Result<_>>()?;
    let truth: Vec<Vec<bool>> =
        examples.iter().map(|example| example.labels.iter().map(|label| *label == Some(true)).collect()).collect();
    let of = |away: usize| {
        let called = examples.iter().enumerate().map(|(i, example)| {
            let said = &said[(i + away) % examples.len()];
            let known = CHEXPERT_14.iter().zip(&example.labels);
            known.map(|(name, label)| label.is_some() && said.contains(name)).collect()
        });
        Confusion::new(&truth, &called.collect::<Vec<_>>(), &vec![1.0; examples.len()]).micro()
    };
    Ok(of(0).zip(of((examples.len() / 2).max(1))).map(|(seeing, blind)| F1 { seeing, blind }))
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;
    use crate::vit::linear::values;

    fn at(name: &str) -> usize {
        CHEXPERT_14.iter().position(|label| *label == name).unwrap()
    }

    #[test]
    fn silence_is_absence_where_a_radiologist_kept_it() {
        let text = "The heart is enlarged. No pleural effusion.";
        let (written, composed) = (labels(text, false), labels(text, true));
        for said in [&written, &composed] {
            assert_eq!((said[at("cardiomegaly")], said[at("pleural_effusion")]), (Some(true), Some(false)));
        }
        assert_eq!((written[at("fracture")], composed[at("fracture")]), (Some(false), None));
    }

    #[test]
    fn the_loss_counts_what_is_known_and_rare_labels_more() {
        let example = |labels: Vec<Option<bool>>| Example { film: 0, text: 0, tokens: vec![], labels };
        let mut known = vec![None; CHEXPERT_14.len()];
        (known[0], known[1]) = (Some(true), Some(false));
        let mut none = known.clone();
        none[0] = Some(false);
        let examples: Vec<Example> = std::iter::once(known).chain(std::iter::repeat_n(none, 3)).map(example).collect();
        let weights = weights(&examples);
        assert_eq!(weights[..3], [3.0, 4.0, 1.0]);
        let mut logits = vec![0.0f32; 2 * CHEXPERT_14.len()];
        (logits[0], logits[1], logits[2]) = (2.0, -1.0, 50.0);
        let logits = Tensor::<Flex, 2>::from_data(TensorData::new(logits, [2, CHEXPERT_14.len()]), &Default::default());
        let found = f64::from(values(loss(logits, &[&examples[0], &examples[1]], &weights))[0]);
        let softplus = |x: f64| x.exp().ln_1p();
        let want = (3.0 * softplus(-2.0) + softplus(-1.0) + 2.0 * softplus(0.0)) / 6.0;
        assert!((found - want).abs() < 1e-6, "{found} {want}");
    }
}
