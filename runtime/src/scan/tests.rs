//! Whole files through [`decode`]: every kind of PNG and JPEG, broken ones, hostile ones.

use std::io::Cursor;
use std::sync::LazyLock;

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat};
use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture.into().write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).unwrap();
    bytes
}

fn ramp() -> image::GrayImage {
    image::GrayImage::from_fn(40, 30, |x, y| image::Luma([(x * 5 + y) as u8]))
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let picture = ramp();
    JpegEncoder::new_with_quality(&mut bytes, 95).write_image(picture.as_raw(), 40, 30, ExtendedColorType::L8).unwrap();
    bytes
}

static PNG: LazyLock<Vec<u8>> = LazyLock::new(|| png(ramp()));
static JPEG: LazyLock<Vec<u8>> = LazyLock::new(jpeg);

fn kind(bytes: &[u8]) -> ErrorKind {
    decode(bytes, &Limits::default()).unwrap_err().kind()
}

#[test]
fn grey_png_is_exact_and_hashed() {
    let scan = decode(&PNG, &Limits::default()).unwrap();
    assert_eq!((scan.width, scan.height, scan.format), (40, 30, Format::Png));
    assert_eq!(scan.pixels, Pixels::Gray8(ramp().into_raw()));
    assert_eq!(scan.sha256.len(), 64);
    assert!(scan.sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
}

#[test]
fn alpha_is_dropped_not_blended() {
    let rgba = image::RgbaImage::from_fn(2, 1, |x, _| image::Rgba([10 + x as u8, 20, 30, 0]));
    assert_eq!(decode(&png(rgba), &Limits::default()).unwrap().pixels, Pixels::Rgb8(vec![10, 20, 30, 11, 20, 30]));
    let grey = image::RgbaImage::from_fn(2, 1, |x, _| image::Rgba([x as u8, x as u8, x as u8, 9]));
    assert_eq!(decode(&png(grey), &Limits::default()).unwrap().pixels, Pixels::Gray8(vec![0, 1]));
}

#[test]
fn sixteen_bits_are_stretched_over_all_colours_without_alpha() {
    let deep = image::ImageBuffer::from_fn(2, 1, |x, _| image::Rgba([100 + x as u16 * 255, 200, 300, 65_535]));
    let scan = decode(&png(DynamicImage::ImageRgba16(deep)), &Limits::default()).unwrap();
    assert_eq!(scan.pixels, Pixels::Rgb8(vec![0, 100, 200, 255, 100, 200]));
}

#[test]
fn jpeg_is_close_and_may_be_followed_by_anything() {
    let mut bytes = JPEG.clone();
    bytes.extend_from_slice(b"\0\0trailing \xff\xd8\xff");
    let scan = decode(&bytes, &Limits::default()).unwrap();
    assert_eq!((scan.width, scan.height, scan.format), (40, 30, Format::Jpeg));
    let Pixels::Gray8(samples) = &scan.pixels else { panic!("grey expected") };
    assert!(samples.iter().zip(ramp().as_raw()).all(|(&a, &b)| a.abs_diff(b) <= 6));
}

#[test]
fn every_truncation_is_an_error() {
    for file in [&*PNG, &*JPEG] {
        for cut in 0..file.len() {
            // Only the checksum of a PNG's last, empty chunk may be missing.
            if file.starts_with(b"\x89PNG") && cut >= file.len() - 4 {
                assert!(decode(&file[..cut], &Limits::default()).is_ok());
            } else {
                assert!(matches!(kind(&file[..cut]), ErrorKind::Malformed | ErrorKind::UnsupportedFormat), "{cut}");
            }
        }
    }
}

#[test]
fn jpeg_with_missing_data_does_not_turn_grey_in_silence() {
    let (end, mut checked) = (JPEG.len() - 2, 0);
    let start = JPEG.windows(2).position(|w| w == [0xff, 0xda]).unwrap() + 10;
    for cut in start..end - 1 {
        // The data stop, the end marker is there.
        if JPEG[cut - 1] != 0xff {
            assert_eq!(kind(&[&JPEG[..cut], b"\xff\xd9"].concat()), ErrorKind::Malformed, "{cut} of {end}");
            checked += 1;
        }
        // Zeros where data were, as an interrupted copy leaves them.
        let mut zeroed = JPEG.clone();
        zeroed[cut..].fill(0);
        assert_eq!(kind(&zeroed), ErrorKind::Malformed, "{cut} of {end}");
    }
    assert!(checked > 100);
}

#[test]
fn limits_are_checked_on_the_header() {
    let limits = |max_side, max_decoded_bytes| Limits { max_side, max_decoded_bytes, ..Limits::default() };
    for file in [&*PNG, &*JPEG] {
        assert!(decode(file, &limits(40, 100_000)).is_ok());
        assert_eq!(decode(file, &limits(39, 100_000)).unwrap_err().kind(), ErrorKind::Limits);
        assert_eq!(decode(file, &limits(40, 1199)).unwrap_err().kind(), ErrorKind::Limits);
        let small = Limits { max_file_bytes: file.len() as u64 - 1, ..Limits::default() };
        assert_eq!(decode(file, &small).unwrap_err().kind(), ErrorKind::Limits);
    }
    let mut huge = PNG.clone();
    huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(kind(&huge), ErrorKind::Limits);
    huge[16..24].fill(0);
    assert_eq!(kind(&huge), ErrorKind::Malformed);
}

#[test]
fn errors_name_the_path_and_special_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("broken.png");
    std::fs::write(&path, &PNG[..50]).unwrap();
    let error = read(&path, &Limits::default()).unwrap_err();
    assert!(error.kind() == ErrorKind::Malformed && error.message().contains("broken.png"), "{error}");
    std::fs::write(&path, &*PNG).unwrap();
    assert_eq!(read(&path, &Limits::default()).unwrap(), decode(&PNG, &Limits::default()).unwrap());
    let small = Limits { max_file_bytes: 10, ..Limits::default() };
    assert_eq!(read(&path, &small).unwrap_err().kind(), ErrorKind::Limits);
    assert_eq!(read(dir.path(), &Limits::default()).unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(read(&dir.path().join("missing.png"), &Limits::default()).unwrap_err().kind(), ErrorKind::Io);
    #[cfg(unix)]
    assert_eq!(read(std::path::Path::new("/dev/zero"), &Limits::default()).unwrap_err().kind(), ErrorKind::Io);
}

/// Decodes within tight limits; whatever comes out must respect them.
fn decode_within_limits(bytes: &[u8]) {
    let limits = Limits { max_file_bytes: 10_000, max_side: 300, max_decoded_bytes: 100_000 };
    if let Ok(scan) = decode(bytes, &limits) {
        assert!(scan.width <= 300 && scan.height <= 300);
        assert_eq!(scan.pixels.samples().len(), (scan.width * scan.height) as usize * scan.pixels.channels());
        assert!(scan.pixels.samples().len() <= 100_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_never_panic(start in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let magic = [&b""[..], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", b"\xff\xd8\xff"][start];
        decode_within_limits(&[magic, &bytes].concat());
    }

    #[test]
    fn mutated_files_never_panic(png: bool, edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
                                 fix_checksums: bool) {
        let mut bytes = if png { PNG.clone() } else { JPEG.clone() };
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if png && fix_checksums {
            repair(&mut bytes);
        }
        decode_within_limits(&bytes);
    }
}

/// Recomputes the checksums of a PNG's chunks, so that mutations reach the code behind them.
fn repair(png: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(end) = at.checked_add(length + 8).filter(|&end| end + 4 <= png.len()) else { return };
        let crc = !png[at + 4..end].iter().fold(u32::MAX, |crc, &b| {
            (0..8).fold(crc ^ u32::from(b), |c, _| if c & 1 == 1 { 0xedb8_8320 ^ (c >> 1) } else { c >> 1 })
        });
        png[end..end + 4].copy_from_slice(&crc.to_be_bytes());
        at = end + 4;
    }
}
