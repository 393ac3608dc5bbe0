//! Signed files: minisign's format, Ed25519 over the file's BLAKE2b-512 hash (the "prehashed" mode, minisign's default).

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use minisign_verify::{PublicKey, Signature};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// Key and signature files hold four short lines.
const TEXT_LIMIT: u64 = 16 << 10;
const CHUNK: usize = 1 << 16;

/// A file whose signature is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Of the file, bytes.
    pub bytes: u64,
    /// Of the file, hex.
    pub sha256: String,
    /// As minisign prints it, 16 hex digits.
    pub key_id: String,
    /// The comment that the signature covers too (minisign writes time and file name there).
    pub trusted_comment: String,
}

/// A public key with its id.
#[derive(Clone, Debug)]
pub struct Key {
    key: PublicKey,
    id: String,
}

impl Key {
    /// Reads `given`: the path of a minisign.pub file, or the key itself as base64.
    ///
    /// # Errors
    /// `Usage` when it is neither, `Io` when the file cannot be read.
    pub fn read(given: &str) -> Result<Self> {
        let path = Path::new(given);
        let text = if path.exists() { text(path, ErrorKind::Usage)? } else { given.to_string() };
        Key::parse(&text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("{given}: neither a minisign public key nor a file with one"))
                .hint("a key file holds two lines, the second 56 characters that begin with RW")
        })
    }

    fn parse(text: &str) -> Option<Self> {
        // minisign.pub has a comment line before the key.
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
        let key = PublicKey::from_base64(line).ok()?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(line).ok()?;
        let id: [u8; 8] = bytes.get(2..10)?.try_into().ok()?;
        Some(Key { key, id: format!("{:016X}", u64::from_le_bytes(id)) })
    }

    /// Checks `file` against `signature`, reading it once.
    ///
    /// # Errors
    /// `Signature` when there is no signature, when it is damaged or by another key, or when the file was changed after
    /// signing; `Io` when the file cannot be read.
    pub fn verify(&self, file: &Path, signature: &Path) -> Result<Verified> {
        let failed = |e| Error::io(file, e);
        let mut source = File::open(file).map_err(failed)?;
        if !signature.exists() {
            return Err(refused(file, format!("there is no signature {}", signature.display()))
                .hint("copy the .minisig file that came with it, or name it with --signature"));
        }
        let text = text(signature, ErrorKind::Signature)?;
        let signed = Signature::decode(&text).map_err(|e| {
            refused(signature, format!("not a minisign signature: {e}")).hint("copy the .minisig file again")
        })?;
        let mut stream = self.key.verify_stream(&signed).map_err(|e| self.reason(file, &e))?;
        let (mut hash, mut bytes) = (Sha256::new(), 0);
        let mut chunk = vec![0; CHUNK];
        loop {
            let n = source.read(&mut chunk).map_err(failed)?;
            let Some(read) = chunk.get(..n).filter(|read| !read.is_empty()) else { break };
            stream.update(read);
            hash.update(read);
            bytes += n as u64;
        }
        stream.finalize().map_err(|e| self.reason(file, &e))?;
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        // What a signer wrote is shown in a terminal: no control characters.
        let comment = signed.trusted_comment().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Ok(Verified { bytes, sha256, key_id: self.id.clone(), trusted_comment: comment })
    }

    fn reason(&self, file: &Path, error: &minisign_verify::Error) -> Error {
        use minisign_verify::Error as E;
        match error {
            E::UnexpectedKeyId => refused(file, format!("signed with another key than {}", self.id))
                .hint("check --key; a file signed by someone else must not be installed"),
            E::UnsupportedLegacyMode => {
                refused(file, "signed in minisign's old mode, without prehashing").hint("sign it with minisign -S -H")
            }
            E::InvalidSignature => refused(file, "TAMPERED: the signature does not belong to these bytes")
                .hint("do not use the file; fetch it and its signature again from a trusted place"),
            other => {
                refused(file, format!("the signature cannot be checked: {other}")).hint("copy the .minisig file again")
            }
        }
    }
}

/// Where `file`'s signature lies unless told otherwise: beside it, `.minisig` added.
pub fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".minisig");
    name.into()
}

fn refused(path: &Path, what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Signature, format!("{}: {what}", path.display()))
}

/// A short text file.
fn text(path: &Path, kind: ErrorKind) -> Result<String> {
    let mut bytes = vec![];
    let file = File::open(path).map_err(|e| Error::io(path, e))?;
    file.take(TEXT_LIMIT + 1).read_to_end(&mut bytes).map_err(|e| Error::io(path, e))?;
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= TEXT_LIMIT);
    text.ok_or_else(|| Error::new(kind, format!("{}: not a minisign file", path.display())).hint("check the path"))
}
