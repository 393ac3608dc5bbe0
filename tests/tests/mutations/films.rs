//! PNG, JPEG and DICOM.

use std::path::Path;

use rad_dino_edge::preprocess::{Preprocessing, preprocess};
use rad_dino_edge::scan::{Limits, Options, Pixels, Scan, Voi};
use rad_dino_tests::mutate::{Random, damaged, with_check_sums};
use rad_dino_tests::reference;

use crate::door::Door;

const LIMITS: Limits = Limits { max_file_bytes: 1 << 20, max_side: 2_048, max_decoded_bytes: 4 << 20 };
/// The limit once as it was decoded, once as it is kept, and what the decoders of others take beside.
const MOST: usize = 48 << 20;

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(reference().join(path)).expect("committed")
}

/// What is decoded keeps the limits and can be given to a model.
fn look(scan: &Scan) {
    let (width, height) = (scan.width, scan.height);
    assert!(width > 0 && height > 0 && width.max(height) <= LIMITS.max_side, "{width}×{height}");
    let pixels = u64::from(width) * u64::from(height);
    let samples = match &scan.pixels {
        Pixels::Gray8(samples) => samples.len(),
        Pixels::Rgb8(samples) => samples.len() / 3,
    };
    assert_eq!(samples as u64, pixels);
    assert!(pixels <= LIMITS.max_decoded_bytes);
    // a picture of a thousand to one is refused, in words
    let mut out = vec![f32::NAN; 3 * 28 * 28];
    if pixels <= 1 << 16 && preprocess(scan, &Preprocessing::plain(28), &mut out).is_ok() {
        assert!(out.iter().all(|value| value.is_finite()));
    }
}

/// `count` damaged copies of each whole film.
fn try_all(name: &'static str, seed: u64, count: usize, films: &[Vec<u8>], mend: fn(Vec<u8>) -> Vec<u8>) {
    let mut door = Door::new(name, MOST);
    let mut random = Random::new(seed);
    for whole in films {
        let options = Options::from(&LIMITS);
        assert!(door.try_with(whole, |bytes| options.decode(bytes)).is_some(), "{name}: a whole film");
        for i in 0..count {
            let bytes = mend(damaged(whole, &mut random));
            let voi = if i % 2 == 0 { Voi::First } else { Voi::None };
            let options = Options { voi, force_photometric: i % 4 < 2, ..options };
            if let Some(scan) = door.try_with(&bytes, |bytes| options.decode(bytes)) {
                look(&scan);
            }
        }
    }
}

fn pictures(ending: &str) -> Vec<Vec<u8>> {
    let folder = std::fs::read_dir(reference().join("pillow")).expect("committed");
    let mut paths: Vec<_> = folder.map(|entry| entry.expect("readable").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending) && !path.to_string_lossy().ends_with(".raw.png"));
    paths.sort();
    assert!(paths.len() >= 6, "{ending}");
    paths.iter().map(read).collect()
}

#[test]
fn png() {
    try_all("PNG", 1, 600, &pictures(".png"), |bytes| bytes);
    try_all("PNG with right check sums", 2, 600, &pictures(".png"), with_check_sums);
}

#[test]
fn jpeg() {
    try_all("JPEG", 3, 800, &pictures(".jpg"), |bytes| bytes);
}

#[test]
fn dicom() {
    let stored: Vec<u8> = (0..20 * 28u16).flat_map(|i| (i * 7 % 4096).to_le_bytes()).collect();
    let element = |tag: u32, vr: &'static [u8; 2], value: &[u8]| (tag, vr, value.to_vec());
    let plain = [element(0x7fe0_0010, b"OW", &stored)];
    let dressed = [
        element(0x0010_0010, b"PN", b"DOE^JANE"),
        element(0x0028_0120, b"US", &[0, 0]),
        element(0x0028_1050, b"DS", b"1000"),
        element(0x0028_1051, b"DS", b"2000"),
        element(0x0028_1052, b"DS", b"-1024 "),
        element(0x0028_1053, b"DS", b"2.5 "),
        element(0x0028_3010, b"SQ", &voi_lut()),
        element(0x7fe0_0010, b"OW", &stored),
    ];
    let streams = |fragments: &[&[u8]]| [element(0x7fe0_0010, b"OB", &encapsulated(fragments))];
    let mut rle = vec![0; 64];
    rle[..12].copy_from_slice(b"\x02\0\0\0\x40\0\0\0\x4a\0\0\0");
    rle.extend([0x81, 1, 0x81, 2, 0x81, 3, 0x81, 4, 0xd1, 5]);
    rle.extend([0x81, 9, 0x81, 7, 0x81, 3, 0x81, 4, 0xd1, 200]);
    let j2k = read("codestreams/grey_12_bits.j2k");
    let films = [
        film("1.2.840.10008.1.2.1", 12, (20, 28), &plain),
        film("1.2.840.10008.1.2.1", 12, (20, 28), &dressed),
        film("1.2.840.10008.1.2.5", 12, (20, 28), &streams(&[&rle])),
        film("1.2.840.10008.1.2.4.50", 8, (31, 50), &streams(&[&read("pillow/grey_turned_50x31.jpg")])),
        film("1.2.840.10008.1.2.4.70", 12, (20, 28), &streams(&[&read("codestreams/grey_12_bits.ljpeg")])),
        film("1.2.840.10008.1.2.4.80", 12, (20, 28), &streams(&[&read("codestreams/grey_12_bits.jls")])),
        film("1.2.840.10008.1.2.4.90", 12, (20, 28), &streams(&[&j2k[..300], &j2k[300..]])),
    ];
    try_all("DICOM", 4, 1_500, &films, |bytes| bytes);
}

/// Four coding styles that cut a picture of 4 MB into tiles, precincts, code-blocks and layers whose tables would take
/// gigabytes; the picture itself is missing.
#[test]
fn jpeg_2000_in_millions_of_parts() {
    let mut door = Door::new("JPEG 2000 in parts", MOST);
    let options = Options::from(&LIMITS);
    let whole = [(0x7fe0_0010, b"OB", encapsulated(&[&read("codestreams/grey_12_bits.j2k")]))];
    let whole = film("1.2.840.10008.1.2.4.90", 12, (20, 28), &whole);
    assert!(door.try_with(&whole, |bytes| options.decode(bytes)).is_some());
    for (tile, style) in [
        ([16, 3], &b"\0\0\0\x01\0\0\x04\x04\0\x01"[..]),
        ([2_048, 1_024], b"\x01\0\0\x01\0\0\x04\x04\0\x01\0"),
        ([2_048, 1_024], b"\0\0\0\x01\0\0\0\0\0\x01"),
        ([2_048, 1_024], b"\x01\0\xff\xff\0\x01\x04\x04\0\x01\x55\x55"),
    ] {
        let mut stream = b"\xff\x4f\xff\x51\0\x29\0\0".to_vec();
        for field in [2_048, 1_024, 0, 0, tile[0], tile[1], 0, 0] {
            stream.extend(u32::to_be_bytes(field));
        }
        stream.extend(b"\0\x01\x0b\x01\x01\xff\x52\0");
        stream.push(style.len() as u8 + 2);
        stream.extend(style);
        stream.extend(b"\xff\x5c\0\x04\x40\x60\xff\x90\0\x0a\0\0\0\0\0\0\0\x01\xff\x93\0\0\0\xff\xd9");
        let pixels = [(0x7fe0_0010, b"OB", encapsulated(&[&stream]))];
        let bytes = film("1.2.840.10008.1.2.4.90", 12, (1_024, 2_048), &pixels);
        assert!(door.try_with(&bytes, |bytes| options.decode(bytes)).is_none());
    }
}

type Element = (u32, &'static [u8; 2], Vec<u8>);

/// A DICOM file, explicit little endian, of one grey frame.
fn film(syntax: &str, bits: u16, (rows, columns): (u16, u16), more: &[Element]) -> Vec<u8> {
    let mut bytes = vec![0; 128];
    bytes.extend(b"DICM");
    let mut syntax = syntax.as_bytes().to_vec();
    syntax.resize(syntax.len().next_multiple_of(2), 0);
    write(&mut bytes, &(0x0002_0010, b"UI", syntax));
    let short = |tag: u32, value: u16| (tag, b"US", value.to_le_bytes().to_vec());
    let mut elements = vec![
        short(0x0028_0002, 1),
        (0x0028_0004, b"CS", b"MONOCHROME2 ".to_vec()),
        short(0x0028_0010, rows),
        short(0x0028_0011, columns),
        short(0x0028_0100, if bits > 8 { 16 } else { 8 }),
        short(0x0028_0101, bits),
        short(0x0028_0102, bits - 1),
        short(0x0028_0103, 0),
    ];
    elements.extend_from_slice(more);
    elements.sort_by_key(|element| element.0);
    elements.iter().for_each(|element| write(&mut bytes, element));
    bytes
}

fn write(bytes: &mut Vec<u8>, (tag, vr, value): &Element) {
    bytes.extend(((tag >> 16) as u16).to_le_bytes());
    bytes.extend((*tag as u16).to_le_bytes());
    bytes.extend(*vr);
    match *vr {
        // fragments and items bring their end along
        b"OB" | b"SQ" => bytes.extend([0, 0, 0xff, 0xff, 0xff, 0xff]),
        b"OW" => {
            bytes.extend([0, 0]);
            bytes.extend((value.len() as u32).to_le_bytes());
        }
        _ => bytes.extend((value.len() as u16).to_le_bytes()),
    }
    bytes.extend(value);
}

fn item(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend(b"\xfe\xff\0\xe0");
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
}

const END: &[u8] = b"\xfe\xff\xdd\xe0\0\0\0\0";

fn encapsulated(fragments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![];
    item(&mut bytes, &[]);
    for fragment in fragments {
        let mut even = fragment.to_vec();
        even.resize(even.len().next_multiple_of(2), 0);
        item(&mut bytes, &even);
    }
    bytes.extend(END);
    bytes
}

/// One item: eight entries from 0 on, 16 bits.
fn voi_lut() -> Vec<u8> {
    let mut table = vec![];
    write(&mut table, &(0x0028_3002, b"US", vec![8, 0, 0, 0, 16, 0]));
    write(&mut table, &(0x0028_3006, b"OW", (0..16).collect()));
    let mut bytes = vec![];
    item(&mut bytes, &table);
    bytes.extend(END);
    bytes
}
