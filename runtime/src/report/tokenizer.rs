//! From tokens to text: the decoding half of a Hugging Face tokenizer.json (byte-level BPE, SentencePiece-like BPE with
//! byte fallback, whole words).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::error::Result;
use crate::model::onnx::refused;

/// No vocabulary has more tokens.
const MAX_TOKENS: usize = 1 << 20;

/// The bytes of every token.
#[derive(Clone, Debug, PartialEq)]
pub struct Tokenizer {
    pieces: Vec<Piece>,
    style: Style,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Piece {
    bytes: Vec<u8>,
    special: bool,
}

/// How pieces become text.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    /// Bytes one after the other (GPT-2's alphabet of 256 printable characters).
    Bytes,
    /// As bytes, `▁` is a space, and the first space is dropped.
    Sentence,
    /// Spaces in between.
    Words,
}

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    decoder: Value,
}

#[derive(Deserialize)]
struct Model {
    #[serde(default)]
    vocab: Value,
}

#[derive(Deserialize)]
struct Added {
    id: usize,
    content: String,
    #[serde(default)]
    special: bool,
}

impl Tokenizer {
    /// Reads the text of a tokenizer.json.
    ///
    /// # Errors
    /// `Model` when it is no such file or of a kind that is not known.
    pub fn parse(json: &str) -> Result<Self> {
        let file: File =
            serde_json::from_str(json).map_err(|e| refused(format!("its tokenizer.json cannot be read: {e}")))?;
        let style = style(&file.decoder)?;
        let mut vocabulary: BTreeMap<usize, String> = BTreeMap::new();
        match &file.model.vocab {
            Value::Object(map) => {
                for (token, id) in map {
                    let id = id.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|id| *id < MAX_TOKENS);
                    vocabulary.insert(id.ok_or_else(|| refused("tokenizer.json: a token's number"))?, token.clone());
                }
            }
            Value::Array(list) => {
                for (id, entry) in list.iter().enumerate().take(MAX_TOKENS) {
                    let token = entry.get(0).and_then(Value::as_str).unwrap_or_default();
                    vocabulary.insert(id, token.to_owned());
                }
            }
            _ => return Err(refused("tokenizer.json has no vocabulary")),
        }
        let most = file.added_tokens.iter().map(|t| t.id).chain(vocabulary.keys().copied()).max().unwrap_or(0);
        if most >= MAX_TOKENS {
            return Err(refused(format!("tokenizer.json: token {most} is too large")));
        }
        let alphabet = alphabet();
        let mut pieces = vec![Piece::default(); most + 1];
        for (id, token) in vocabulary {
            pieces[id].bytes = bytes(&token, style, &alphabet);
        }
        for added in file.added_tokens {
            pieces[added.id] = Piece { bytes: added.content.into_bytes(), special: added.special };
        }
        Ok(Tokenizer { pieces, style })
    }

    /// The text of `tokens`, special tokens left out; bytes that are no UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let pieces = tokens.iter().filter_map(|t| self.pieces.get(*t as usize)).filter(|piece| !piece.special);
        let mut text = vec![];
        for (i, piece) in pieces.enumerate() {
            if self.style == Style::Words && i > 0 {
                text.push(b' ');
            }
            text.extend_from_slice(&piece.bytes);
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        match self.style {
            Style::Sentence => text.strip_prefix(' ').map_or(text.clone(), str::to_owned),
            _ => text,
        }
    }
}

fn style(decoder: &Value) -> Result<Style> {
    if decoder.is_null() {
        return Ok(Style::Words);
    }
    let kinds: Vec<&str> = match decoder["decoders"].as_array() {
        Some(list) => list.iter().filter_map(|d| d["type"].as_str()).collect(),
        None => decoder["type"].as_str().into_iter().collect(),
    };
    if kinds.contains(&"ByteLevel") {
        return Ok(Style::Bytes);
    }
    if kinds.contains(&"ByteFallback") || kinds.contains(&"Metaspace") {
        return Ok(Style::Sentence);
    }
    Err(refused(format!("tokenizer.json: the decoder {kinds:?} is not known"))
        .hint("byte-level BPE and SentencePiece-like tokenizers are; or leave tokenizer.json out of the folder"))
}

fn bytes(token: &str, style: Style, alphabet: &BTreeMap<char, u8>) -> Vec<u8> {
    match style {
        // a character beyond the alphabet stands for itself
        Style::Bytes => {
            let mut out = vec![];
            for c in token.chars() {
                match alphabet.get(&c) {
                    Some(byte) => out.push(*byte),
                    None => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
            out
        }
        Style::Sentence => {
            let fallback = token.strip_prefix("<0x").and_then(|rest| rest.strip_suffix('>'));
            match fallback.filter(|hex| hex.len() == 2).and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
                Some(byte) => vec![byte],
                None => token.replace('▁', " ").into_bytes(),
            }
        }
        Style::Words => token.as_bytes().to_vec(),
    }
}

/// GPT-2's printable stand-ins: printable Latin-1 characters are themselves, the other bytes follow from U+0100 on.
fn alphabet() -> BTreeMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    let mut map = BTreeMap::new();
    for byte in 0..=u8::MAX {
        let stand_in = if printable(byte) {
            u32::from(byte)
        } else {
            next += 1;
            next - 1
        };
        map.extend(char::from_u32(stand_in).map(|c| (c, byte)));
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_level_pieces_are_bytes() {
        let json = r#"{"model":{"type":"BPE","vocab":{"Ġheart":0,"The":1,"Ã":2,"©":3,"<s>":4}},
            "added_tokens":[{"id":4,"content":"<s>","special":true}],"decoder":{"type":"ByteLevel"}}"#;
        let tokenizer = Tokenizer::parse(json).unwrap();
        assert_eq!(tokenizer.decode(&[4, 1, 0, 2, 3, 99]), "The hearté");
    }

    #[test]
    fn sentence_pieces_have_spaces_and_bytes() {
        let json = r#"{"model":{"vocab":{"▁The":0,"▁heart":1,"<0xC3>":2,"<0xA9>":3}},
            "decoder":{"type":"Sequence","decoders":[{"type":"Replace"},{"type":"ByteFallback"},{"type":"Fuse"}]}}"#;
        assert_eq!(Tokenizer::parse(json).unwrap().decode(&[0, 1, 2, 3]), "The hearté");
    }

    #[test]
    fn what_is_no_tokenizer_is_refused() {
        for json in ["{}", r#"{"model":{"vocab":{"a":99999999}}}"#, r#"{"model":{"vocab":{}},"decoder":{"type":"X"}}"#]
        {
            assert!(Tokenizer::parse(json).is_err(), "{json}");
        }
    }
}
