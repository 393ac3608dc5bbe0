//! Configuration files: TOML in which every mistake is named.

use std::path::Path;

use rad_dino_edge::{Error, ErrorKind, Result};
use serde::de::DeserializeOwned;

/// Reads the file at `path` and checks it; `hint` says where its keys are explained.
///
/// # Errors
/// `Io` when it cannot be read, else those of [`parse`] with the path in front.
pub fn read<T: DeserializeOwned>(path: &Path, hint: &str, check: impl FnOnce(&T) -> Result<()>) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    parse(&text, hint, check).map_err(|e| e.at(path.display()))
}

/// Parses the text of such a file and checks it.
///
/// # Errors
/// `Usage` naming the line of an unknown key or wrong type, and those of `check`.
pub fn parse<T: DeserializeOwned>(text: &str, hint: &str, check: impl FnOnce(&T) -> Result<()>) -> Result<T> {
    let config = toml::from_str(text).map_err(|e| Error::new(ErrorKind::Usage, e.to_string().trim_end()).hint(hint))?;
    check(&config)?;
    Ok(config)
}

/// Whether every key's value makes sense.
///
/// # Errors
/// `Usage` naming the first key whose value does not.
pub fn sensible<'a>(values: impl IntoIterator<Item = (&'a str, bool)>, hint: &str) -> Result<()> {
    match values.into_iter().find(|(_, fine)| !fine) {
        Some((key, _)) => Err(Error::new(ErrorKind::Usage, format!("{key}: this value makes no sense")).hint(hint)),
        None => Ok(()),
    }
}
