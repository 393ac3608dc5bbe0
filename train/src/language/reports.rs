//! What reads reports: a small transformer over words from scratch, or a pre-trained sentence encoder.

use std::path::Path;

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rad_dino_edge::Result;

use super::bert::Bert;
use super::bert_folder::{BertFolder, WordPieces};
use super::text_encoder::{self, LENGTH, TextEncoder};
use super::vocabulary::Vocabulary;
use crate::vit::Precision;

/// Words that a fresh encoder tells apart.
const WORDS: usize = 4_000;

/// The text side's network.
#[derive(Module, Debug)]
pub enum ReportEncoder<B: Backend> {
    /// Learns from the pairs alone.
    Fresh(TextEncoder<B>),
    /// Continues at the image encoder's low rate.
    Pretrained(Pretrained<B>),
}

/// A field of its own, so that the parameters' paths tell the optimiser (`optim::param_groups`).
#[derive(Module, Debug)]
pub struct Pretrained<B: Backend> {
    /// The sentence encoder.
    pub pretrained: Bert<B>,
}

/// Texts as the text side's network takes them.
#[derive(Debug)]
pub enum Words {
    /// Of the training reports.
    Counted(Vocabulary),
    /// Of the pre-trained encoder.
    Pieces(Box<WordPieces>),
}

/// Numbers of a text, and which of them are there.
pub type Encoded = (Vec<usize>, Vec<f32>);

impl<B: Backend> ReportEncoder<B> {
    /// Of the BERT folder `pretrained`, else fresh with the words of `reports`.
    ///
    /// # Errors
    /// Those of [`BertFolder::read`].
    pub fn new<'a>(
        pretrained: Option<&Path>,
        reports: impl Iterator<Item = &'a str>,
        seed: u64,
        device: &B::Device,
    ) -> Result<(Self, Words)> {
        match pretrained {
            Some(folder) => {
                let BertFolder { bert, tokenizer } = BertFolder::read(folder, LENGTH, device)?;
                Ok((ReportEncoder::Pretrained(Pretrained { pretrained: bert }), Words::Pieces(Box::new(tokenizer))))
            }
            None => {
                let vocabulary = Vocabulary::new(reports, WORDS);
                let encoder = TextEncoder::new(vocabulary.len(), seed, device)?;
                Ok((ReportEncoder::Fresh(encoder), Words::Counted(vocabulary)))
            }
        }
    }

    /// Width of what comes out.
    pub fn width(&self) -> usize {
        match self {
            ReportEncoder::Fresh(_) => text_encoder::WIDTH,
            ReportEncoder::Pretrained(p) => p.pretrained.width(),
        }
    }

    /// n texts to [n, width].
    pub fn forward(&self, texts: Vec<Encoded>, precision: Precision) -> Tensor<B, 2> {
        let (numbers, known): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        match self {
            ReportEncoder::Fresh(encoder) => encoder.forward(&numbers, &known, precision),
            ReportEncoder::Pretrained(p) => p.pretrained.forward(&numbers, &known, precision),
        }
    }
}

impl Words {
    /// [`LENGTH`] numbers of `text`.
    ///
    /// # Errors
    /// `Data` when the tokenizer fails.
    pub fn encode(&self, text: &str) -> Result<Encoded> {
        match self {
            Words::Counted(vocabulary) => {
                let numbers = vocabulary.encode(text, LENGTH);
                let known = numbers.iter().map(|w| f32::from(u8::from(*w != super::vocabulary::PAD))).collect();
                Ok((numbers, known))
            }
            Words::Pieces(pieces) => pieces.encode(text),
        }
    }
}
