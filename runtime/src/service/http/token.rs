//! The secret that lets a client in.

use std::fmt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// So many characters at least.
const SHORTEST: usize = 16;

/// A bearer token (RFC 6750). Only its hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    hash: [u8; 32],
}

impl Token {
    /// A token from its text; blanks around it do not count.
    ///
    /// # Errors
    /// `Usage` for fewer than 16 characters, and for characters that no header may hold.
    pub fn new(text: &str) -> Result<Token> {
        let text = text.trim();
        if text.len() < SHORTEST || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("a token has {SHORTEST} or more visible ASCII characters"),
            )
            .hint("make one with: openssl rand -hex 32"));
        }
        Ok(Token { hash: hash(text.as_bytes()) })
    }

    /// The token in the file at `path`.
    ///
    /// # Errors
    /// `Io` naming `path`; those of [`Token::new`].
    pub fn read(path: &Path) -> Result<Token> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        Token::new(&text).map_err(|e| e.at(path.display()))
    }

    /// Whether `given` is the token; takes the same time for every wrong one.
    pub fn is(&self, given: &[u8]) -> bool {
        // equal hashes are equal tokens, and where two hashes differ tells nothing about the texts
        let differs = self.hash.iter().zip(hash(given)).fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(differs) == 0
    }

    /// Whether the value of an Authorization header holds it.
    pub(super) fn is_in(&self, authorization: &[u8]) -> bool {
        let Some((scheme, given)) = authorization.split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && self.is(given.trim_ascii())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_text_is_let_in() {
        let token = Token::new(" 0123456789abcdef\n").unwrap();
        assert!(token.is_in(b"Bearer 0123456789abcdef"));
        assert!(token.is_in(b"bearer  0123456789abcdef"));
        for wrong in ["Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Basic 0123456789abcdef", "Bearer ", ""] {
            assert!(!token.is_in(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn short_and_unprintable_tokens_are_refused_and_none_is_shown() {
        for text in ["", "short", "0123456789 abcdef", "0123456789äbcdef"] {
            assert_eq!(Token::new(text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
        assert!(!format!("{:?}", Token::new("0123456789abcdef").unwrap()).contains("0123"));
    }
}
