//! What a file may cost before it is refused.

use crate::{Error, ErrorKind, Result};

/// Limits on one scan, checked before the memory in question is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the file in bytes.
    pub max_file_bytes: u64,
    /// Width and height in pixels, each.
    pub max_side: u32,
    /// Size of the decoded picture in bytes, at the file's own channels and depth.
    pub max_decoded_bytes: u64,
}

impl Default for Limits {
    /// 256 MB of file, 20,000 pixels a side, 512 MB of pixels.
    fn default() -> Self {
        Limits { max_file_bytes: 256_000_000, max_side: 20_000, max_decoded_bytes: 512_000_000 }
    }
}

impl Limits {
    pub(super) fn check_file(&self, bytes: u64) -> Result<()> {
        if bytes <= self.max_file_bytes {
            return Ok(());
        }
        let message = format!("the file is larger than the limit of {} bytes", self.max_file_bytes);
        Err(Error::new(ErrorKind::Limits, message).hint("raise --max-file-mb if the file is to be trusted"))
    }

    /// `bytes_per_pixel`: channels times bytes a sample, as the decoder will deliver them.
    pub(super) fn check_picture(&self, width: u32, height: u32, bytes_per_pixel: u64) -> Result<()> {
        if width == 0 || height == 0 {
            let message = format!("the picture has no pixels ({width}×{height})");
            return Err(Error::new(ErrorKind::Malformed, message).hint("export the picture again"));
        }
        if width.max(height) > self.max_side {
            let message =
                format!("the picture is {width}×{height} pixels, the limit is {} pixels a side", self.max_side);
            return Err(Error::new(ErrorKind::Limits, message).hint("raise --max-side if the file is to be trusted"));
        }
        // Saturated sizes are refused even by a limit of u64::MAX.
        let bytes = (u64::from(width) * u64::from(height)).saturating_mul(bytes_per_pixel);
        if bytes > self.max_decoded_bytes || bytes == u64::MAX {
            let message = format!(
                "the picture is {width}×{height} pixels, {bytes} bytes when decoded; the limit is {} bytes",
                self.max_decoded_bytes
            );
            return Err(
                Error::new(ErrorKind::Limits, message).hint("raise --max-decoded-mb if the file is to be trusted")
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_has_its_edge() {
        let limits = Limits { max_file_bytes: 10, max_side: 4, max_decoded_bytes: 12 };
        assert!(limits.check_file(10).is_ok());
        assert_eq!(limits.check_file(11).unwrap_err().kind(), ErrorKind::Limits);
        assert!(limits.check_picture(4, 3, 1).is_ok());
        assert_eq!(limits.check_picture(4, 4, 1).unwrap_err().kind(), ErrorKind::Limits);
        assert_eq!(limits.check_picture(5, 1, 1).unwrap_err().kind(), ErrorKind::Limits);
        assert_eq!(limits.check_picture(1, 5, 1).unwrap_err().kind(), ErrorKind::Limits);
        assert_eq!(limits.check_picture(0, 1, 1).unwrap_err().kind(), ErrorKind::Malformed);
        assert_eq!(limits.check_picture(1, 0, 1).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn sizes_beyond_32_bits_do_not_wrap() {
        let limits = Limits { max_side: u32::MAX, ..Limits::default() };
        assert_eq!(limits.check_picture(u32::MAX, 1 << 20, 8).unwrap_err().kind(), ErrorKind::Limits);
        let decoded = Limits { max_side: u32::MAX, max_decoded_bytes: u64::MAX, ..Limits::default() };
        assert_eq!(decoded.check_picture(u32::MAX, u32::MAX, 8).unwrap_err().kind(), ErrorKind::Limits);
    }
}
