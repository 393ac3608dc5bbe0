//! Names that came from outside, made into names of files.
//!
//! A spool file's name says all that the queue needs to find its place again: `<UID>.dcm` for what came over DICOM,
//! `<sha256>-<path, percent-coded>` for what was found in a watched folder.

use std::fmt::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, ErrorKind, Result};

/// Length of the longest UID (PS3.5, 9.1).
const MAX_UID: usize = 64;
/// Of the coded part of a spool name, and of a result's name: together with hash and suffixes below 255 bytes.
const MAX_NAME: usize = 150;
const HASH: usize = 64;

/// A UID made of digits and dots alone (PS3.5, 9.1), padding removed: safe as the name of a file.
///
/// # Errors
/// `Malformed`; the message does not repeat what was sent.
pub fn uid(value: &str) -> Result<&str> {
    let uid = value.trim_end_matches(['\0', ' ']);
    let digits = uid.bytes().all(|b| b.is_ascii_digit() || b == b'.') && uid.bytes().any(|b| b.is_ascii_digit());
    if uid.is_empty() || uid.len() > MAX_UID || !digits || uid.starts_with('.') {
        return Err(Error::new(ErrorKind::Malformed, "the SOP Instance UID is no UID: up to 64 digits and dots")
            .hint("correct the sender"));
    }
    Ok(uid)
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Where an object came from, as the queue keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Name of its file in the spool; one object, one name.
    pub spool: String,
    /// What later versions of it share: the path below the watched folder, `<UID>.dcm` over DICOM.
    pub source: String,
    /// What its results are called, unless another source has taken that name.
    pub name: String,
    /// As `input.path` in results.
    pub shown: String,
}

impl Origin {
    /// Of an object that came over DICOM.
    ///
    /// # Errors
    /// Those of [`uid`].
    pub fn instance(value: &str) -> Result<Origin> {
        let name = uid(value)?.to_string();
        let spool = format!("{name}.dcm");
        let shown = format!("spool/{spool}");
        Ok(Origin { source: spool.clone(), spool, name, shown })
    }

    /// Of the file at `relative` below the watched folder.
    pub fn file(relative: &Path, sha256: &str) -> Origin {
        let source = relative.to_string_lossy().into_owned();
        let spool = format!("{sha256}-{}", code(&source));
        Origin { spool, name: shorten(stem(&source)), shown: source.clone(), source }
    }

    /// From the name of a file in the spool; None for what the queue did not put there.
    pub fn of_spool(spool: &str) -> Option<Origin> {
        if let Some(name) = spool.strip_suffix(".dcm")
            && let Ok(origin) = Origin::instance(name)
            && origin.spool == spool
        {
            return Some(origin);
        }
        let (hash, coded) = spool.split_at_checked(HASH)?;
        let coded = coded.strip_prefix('-')?;
        if !hash.bytes().all(|b| b.is_ascii_hexdigit()) || coded.is_empty() {
            return None;
        }
        let source = decode(coded);
        Some(Origin { spool: spool.into(), name: shorten(stem(&source)), shown: source.clone(), source })
    }

    /// Names for the results in the order in which they are tried; the last one no other source has.
    pub fn names(&self) -> [String; 3] {
        let whole = shorten(&self.source.replace('/', "_"));
        let hash = &hex(&Sha256::digest(self.source.as_bytes()))[..16];
        [self.name.clone(), whole.clone(), format!("{whole}~{hash}")]
    }
}

/// `a/b/film.png` is `film`.
fn stem(source: &str) -> &str {
    let file = source.rsplit('/').next().unwrap_or(source);
    match file.rsplit_once('.') {
        Some((stem, _)) if !stem.is_empty() => stem,
        _ => file,
    }
}

/// At most [`MAX_NAME`] bytes, different for different names.
fn shorten(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_string();
    }
    let hash = hex(&Sha256::digest(name.as_bytes()));
    format!("{}~{}", &name[..name.floor_char_boundary(MAX_NAME - 17)], &hash[..16])
}

/// Everything but letters, digits, dot, underscore, tilde and hyphen as %XX.
fn code(source: &str) -> String {
    let mut coded = String::with_capacity(source.len());
    for byte in source.bytes() {
        if byte.is_ascii_alphanumeric() || b"._~-".contains(&byte) {
            coded.push(char::from(byte));
        } else {
            let _ = write!(coded, "%{byte:02X}");
        }
    }
    shorten(&coded)
}

fn decode(coded: &str) -> String {
    let bytes = coded.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let code = coded.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) if byte == b'%' => {
                decoded.push(code);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn uids_are_digits_and_dots() {
        assert_eq!(uid("1.2.840\0").unwrap(), "1.2.840");
        assert_eq!(uid(&"1".repeat(64)).unwrap().len(), 64);
        for bad in ["", "..", ".1", "1/2", "../../etc/passwd", "1.2\0.3", "1.2 a", "é", &"1".repeat(65)] {
            let error = uid(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(bad.is_empty() || bad == ".." || !error.to_string().contains(bad), "{error}");
        }
    }

    #[test]
    fn origins_are_found_again_in_the_spool() {
        let instance = Origin::instance("1.2.3").unwrap();
        assert_eq!(Origin::of_spool(&instance.spool), Some(instance.clone()));
        assert_eq!((instance.name.as_str(), instance.shown.as_str()), ("1.2.3", "spool/1.2.3.dcm"));
        let file = Origin::file(Path::new("a b/film 1.PNG"), &"0f".repeat(32));
        assert_eq!(Origin::of_spool(&file.spool), Some(file.clone()));
        assert_eq!((file.name.as_str(), file.source.as_str()), ("film 1", "a b/film 1.PNG"));
        for other in ["", "notes.txt", "1.2.dcm.dcm", "..dcm", &"g".repeat(70), &"0".repeat(64), "x.1.2.tmp"] {
            assert_eq!(Origin::of_spool(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_path_makes_a_safe_spool_name(path in "\\PC{1,300}", digit in 0u8..16) {
            let origin = Origin::file(Path::new(&path), &format!("{digit:x}").repeat(64));
            prop_assert!(origin.spool.len() < 240 && !origin.spool.contains('/') && !origin.spool.contains('\0'));
            let found = Origin::of_spool(&origin.spool).unwrap();
            if origin.spool.len() < HASH + MAX_NAME {
                prop_assert_eq!(found.source, path);
            }
            prop_assert!(origin.names().iter().skip(1).all(|name| name.len() < 200 && !name.contains('/')));
        }

        #[test]
        fn any_spool_name_is_survived(name in "\\PC{0,200}") {
            let _ = Origin::of_spool(&name);
        }
    }
}
