//! Byte-level BPE by the `tokenizers` crate: trained on the reports, or read from a tokenizer.json.

use std::str::FromStr;

use rad_dino_edge::{Error, ErrorKind, Result};
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{
    AddedToken, DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper,
};
use tokenizers::{Tokenizer as Inner, TokenizerImpl};

/// First token of every text of a tokenizer of ours.
pub const START: &str = "<s>";
/// Last token.
pub const END: &str = "</s>";

/// From text to tokens.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Inner,
}

type Implementation =
    TokenizerImpl<ModelWrapper, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

impl Tokenizer {
    /// Trains at most `size` tokens (256 bytes and two special ones among them) on `texts`.
    ///
    /// # Errors
    /// `Internal` when the crate fails.
    pub fn train<'a>(texts: impl Iterator<Item = &'a str> + Send, size: usize) -> Result<Self> {
        let special = [START, END].map(|token| AddedToken::from(token, true));
        let trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            .vocab_size(size)
            .min_frequency(2)
            .special_tokens(special.to_vec())
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .build();
        let bytes = ByteLevel::new(false, true, true);
        let mut inner = Implementation::new(ModelWrapper::BPE(BPE::default()));
        inner.with_pre_tokenizer(Some(PreTokenizerWrapper::ByteLevel(bytes)));
        inner.with_decoder(Some(DecoderWrapper::ByteLevel(bytes)));
        let mut trainer = trainer.into();
        inner.train::<tokenizers::models::TrainerWrapper, _, _>(&mut trainer, texts).map_err(internal)?;
        Ok(Tokenizer { inner: inner.into() })
    }

    /// Reads the text of a tokenizer.json.
    ///
    /// # Errors
    /// `Checkpoint` when it is none.
    pub fn parse(json: &str) -> Result<Self> {
        let inner = Inner::from_str(json).map_err(|e| {
            Error::new(ErrorKind::Checkpoint, format!("tokenizer.json: {e}"))
                .hint("save the tokenizer again with transformers, or leave --decoder out")
        })?;
        Ok(Tokenizer { inner })
    }

    /// The text of its tokenizer.json.
    ///
    /// # Errors
    /// `Internal` when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        self.inner.to_string(false).map_err(internal)
    }

    /// Tokens in use.
    pub fn len(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of a token.
    pub fn token(&self, text: &str) -> Option<u32> {
        self.inner.token_to_id(text)
    }

    /// The tokens of a text, without first and last.
    ///
    /// # Errors
    /// `Internal` when the crate fails.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.inner.encode(text, false).map_err(internal)?.get_ids().to_vec())
    }
}

fn internal(error: tokenizers::Error) -> Error {
    Error::new(ErrorKind::Internal, format!("tokenizer: {error}"))
}

#[cfg(test)]
mod tests {
    use rad_dino_edge::report::tokenizer::Tokenizer as Reader;

    use super::*;

    #[test]
    fn what_is_encoded_here_is_decoded_by_the_runtime() {
        let texts =
            ["The heart is normal in size.", "The heart is enlarged.", "The lungs are clear. The heart is normal."];
        let tokenizer = Tokenizer::train(texts.into_iter(), 300).unwrap();
        assert!((258..=300).contains(&tokenizer.len()));
        assert_eq!((tokenizer.token(START), tokenizer.token(END)), (Some(0), Some(1)));
        let json = tokenizer.to_json().unwrap();
        let reader = Reader::parse(&json).unwrap();
        for text in ["The heart is clear.", "Café – 37 °C\nno XXXX", ""] {
            let tokens = tokenizer.encode(text).unwrap();
            assert_eq!(reader.decode(&tokens), text);
        }
        assert!(tokenizer.encode("The heart is normal").unwrap().len() < 8, "merges were learnt");
        assert_eq!(Tokenizer::parse(&json).unwrap().encode(texts[0]).unwrap(), tokenizer.encode(texts[0]).unwrap());
    }
}
