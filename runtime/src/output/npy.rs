//! NumPy's `.npy` format, version 1.0: little-endian f32, C order.

use std::io::{self, Write};
use std::path::Path;

use super::write;
use crate::{Error, ErrorKind, Result};

const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";

/// Writes `data` (row-major, the product of `shape` values) to `path`, whole or not at all.
///
/// # Errors
/// `Internal` when `shape` and `data` disagree, `Io` naming `path`.
pub fn write(path: &Path, shape: &[usize], data: &[f32]) -> Result<()> {
    let count = shape.iter().try_fold(1usize, |n, &side| n.checked_mul(side));
    if count != Some(data.len()) {
        let message = format!("{}: an array of shape {shape:?} was given {} values", path.display(), data.len());
        return Err(Error::new(ErrorKind::Internal, message));
    }
    let header = header(shape)?;
    write::atomic(path, |w| {
        w.write_all(&header)?;
        write_values(w, data)
    })
}

/// The bytes before the values, for callers that stream an array whose shape they know beforehand.
///
/// # Errors
/// `Internal` when the shape has so many axes that a version 1.0 header cannot hold it.
pub fn header(shape: &[usize]) -> Result<Vec<u8>> {
    let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
    // A tuple of one needs its comma.
    let comma = if shape.len() == 1 { "," } else { "" };
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}{comma}), }}", axes.join(", "));
    // Values start at a multiple of 64; the header ends in a newline.
    let unpadded = MAGIC.len() + 2 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    text.push('\n');
    let length = u16::try_from(text.len())
        .map_err(|_| Error::new(ErrorKind::Internal, format!("an array of {} axes does not fit .npy", shape.len())))?;
    Ok([MAGIC, &length.to_le_bytes(), text.as_bytes()].concat())
}

/// Writes values as they follow [`header`].
///
/// # Errors
/// What `w` reports.
pub fn write_values(w: &mut dyn Write, values: &[f32]) -> io::Result<()> {
    let mut bytes = [0u8; 4096];
    for chunk in values.chunks(bytes.len() / 4) {
        for (b, v) in bytes.chunks_exact_mut(4).zip(chunk) {
            b.copy_from_slice(&v.to_le_bytes());
        }
        w.write_all(&bytes[..chunk.len() * 4])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: &[usize], tuple: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let data: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32 * 0.5 - 3.0).collect();
        write(&path, shape, &data).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], MAGIC);
        let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!(start % 64, 0);
        let text = std::str::from_utf8(&bytes[10..start]).unwrap();
        let expected = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple}, }}");
        assert_eq!(text.trim_end(), expected);
        assert!(text.ends_with('\n'));
        let values: Vec<f32> =
            bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        assert_eq!(values, data);
    }

    #[test]
    fn shapes() {
        check(&[3], "(3,)");
        check(&[2, 384], "(2, 384)");
        check(&[2, 257, 8], "(2, 257, 8)");
        check(&[0, 384], "(0, 384)");
        check(&[], "()");
    }

    #[test]
    fn wrong_count_is_refused_and_nothing_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        assert_eq!(write(&path, &[2, 3], &[0.0; 5]).unwrap_err().kind(), ErrorKind::Internal);
        assert_eq!(write(&path, &[usize::MAX, 3], &[0.0; 5]).unwrap_err().kind(), ErrorKind::Internal);
        assert!(!path.exists());
    }
}
