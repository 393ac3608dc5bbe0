//! Small files built here, through [`decode`](crate::scan::decode): every rule of the pixels, every refusal.

mod file;

use proptest::prelude::*;

use self::file::{BIG, DEFLATED, EXPLICIT, File, RLE, encapsulate, item, us, words};
use crate::ErrorKind;
use crate::scan::{Limits, Options, Pixels, Voi, decode};

#[test]
fn minimum_and_maximum_become_0_and_255_at_any_depth() {
    assert_eq!(File::deep(12, &[100, 610, 101, 103]).grey(), [0, 255, 1, 2]);
    assert_eq!(File::deep(16, &[0, 65_535, 32_768]).grey(), [0, 255, 128]);
    assert_eq!(File::shallow(&[10, 20, 15]).grey(), [0, 255, 128]);
    assert_eq!(File::deep(12, &[7, 7]).grey(), [0, 0]);
}

#[test]
fn monochrome1_is_inverted_last() {
    let file = File::deep(12, &[0, 510, 1]).with(0x0028_0004, b"CS", *b"MONOCHROME1 ");
    assert_eq!(file.grey(), [255, 0, 254]);
    let padded = file.with(0x0028_0120, b"US", us(510));
    assert_eq!(padded.grey(), [255, 255, 0]);
}

#[test]
fn signs_and_high_bits_are_honoured() {
    let signed = File::deep(16, &[-1000, 0, 1000]).with(0x0028_0103, b"US", us(1));
    assert_eq!(signed.grey(), [0, 128, 255]);
    // 12 bits: the sign is bit 11, what is above is an overlay.
    let short = File::deep(12, &[0x0800, 0xf000, 0x37ff]).with(0x0028_0103, b"US", us(1));
    assert_eq!(short.grey(), [0, 128, 255]);
    // 12 bits below bit 15.
    let high = File::deep(12, &[0x0010, 0x001f, 0x0fff, 0x1ff0]).with(0x0028_0102, b"US", us(15));
    assert_eq!(high.grey(), [0, 0, 127, 255]);
    let bytes = File::shallow(&[0x80, 0, 0x7f]).with(0x0028_0103, b"US", us(1));
    assert_eq!(bytes.grey(), [0, 128, 255]);
}

#[test]
fn padding_is_left_out_and_takes_the_minimum() {
    let file = File::deep(16, &[0, 100, 200, 65_000, 65_001]);
    let one = file.clone().with(0x0028_0120, b"US", us(0));
    assert_eq!(one.grey(), [0, 0, 0, 255, 255]);
    let range = file.with(0x0028_0120, b"US", us(65_001)).with(0x0028_0121, b"US", us(65_000));
    assert_eq!(range.grey(), [0, 128, 255, 0, 0]);
    let signed =
        File::deep(16, &[-2000, 5, 6]).with(0x0028_0103, b"US", us(1)).with(0x0028_0120, b"SS", words(&[-2000]));
    assert_eq!(signed.grey(), [0, 0, 255]);
    assert_eq!(File::deep(16, &[3, 3]).with(0x0028_0120, b"US", us(3)).grey(), [0, 0]);
}

#[test]
fn rescale_keeps_or_turns_the_order() {
    let file = File::deep(12, &[0, 510, 1]).with(0x0028_1052, b"DS", *b"-1024 ");
    assert_eq!(file.clone().with(0x0028_1053, b"DS", *b"2.5 ").grey(), [0, 255, 1]);
    assert_eq!(file.clone().with(0x0028_1053, b"DS", *b"-1").grey(), [255, 0, 255]);
    assert_eq!(file.clone().with(0x0028_1053, b"DS", *b"0 ").grey(), [0, 0, 0]);
    let (kind, message) = file.with(0x0028_1053, b"DS", *b"secret").refused();
    assert!(kind == ErrorKind::Malformed && message.contains("RescaleSlope") && !message.contains("secret"));
}

#[test]
fn modality_lut_is_looked_up_and_clamped() {
    let mut lut = b"\x28\0\x02\x30US\x06\0".to_vec();
    lut.extend(words(&[3, 10, 16]));
    lut.extend_from_slice(b"\x28\0\x06\x30OW\0\0\x06\0\0\0");
    lut.extend(words(&[0, 510, 1]));
    let file = File::deep(12, &[10, 11, 12, 0, 99]);
    assert_eq!(file.clone().with(0x0028_3000, b"SQ", item(&lut)).grey(), [0, 255, 1, 0, 1]);
    lut[8] = 200;
    let (kind, message) = file.with(0x0028_3000, b"SQ", item(&lut)).refused();
    assert!(kind == ErrorKind::Malformed && message.contains("LUTDescriptor"));
}

#[test]
fn transfer_syntaxes_agree() {
    let values = [100, 610, 101, 103, 4000];
    let expected = File::deep(12, &values).grey();
    assert_eq!(File::deep(12, &values).syntax(BIG).grey(), expected);
    assert_eq!(File::deep(12, &values).syntax(DEFLATED).grey(), expected);
    // 8-bit samples in big-endian words.
    assert_eq!(File::shallow(&[1, 2, 3]).syntax(BIG).grey(), [0, 128, 255]);
    let mut frame = vec![0; 64];
    frame[..12].copy_from_slice(b"\x02\0\0\0\x40\0\0\0\x46\0\0\0");
    frame.extend_from_slice(&[4, 0, 2, 0, 0, 15]);
    frame.extend_from_slice(&[4, 100, 98, 101, 103, 160, 128, 0]);
    let rle = File::deep(12, &[100, 610, 101, 103, 4000]).syntax(RLE);
    assert_eq!(rle.clone().with(0x7fe0_0010, b"OB", encapsulate(&[&frame])).grey(), expected);
    let (head, tail) = frame.split_at(40);
    assert_eq!(rle.clone().with(0x7fe0_0010, b"OB", encapsulate(&[head, tail])).grey(), expected);
    let (kind, message) = rle.with(0x7fe0_0010, b"OB", encapsulate(&[&frame[..74]])).refused();
    assert!(kind == ErrorKind::Malformed && message.contains("RLE") && message.contains(RLE), "{message}");
}

#[test]
fn what_is_no_grey_film_is_refused() {
    let file = File::deep(12, &[0, 1]);
    let cases = [
        (file.clone().with(0x0028_0004, b"CS", *b"RGB ").with(0x0028_0002, b"US", us(3)), "colour DICOM is refused"),
        (file.clone().with(0x0028_0004, b"CS", *b"PALETTE COLOR "), "PALETTE COLOR"),
        (file.clone().with(0x0028_0008, b"IS", *b"2 "), "multi-frame"),
        (file.clone().with(0x0028_0100, b"US", us(1)), "segmentation"),
        (file.clone().with(0x0028_0100, b"US", us(32)), "32 bits allocated"),
        (file.clone().without(0x7fe0_0010).with(0x7fe0_0008, b"OF", vec![0; 8]), "floating-point"),
        (file.clone().syntax("1.2.840.10008.1.2.4.201"), "1.2.840.10008.1.2.4.201"),
        (file.clone().with(0x0028_0004, b"CS", *b"DOE^JANE"), "not MONOCHROME1"),
    ];
    for (file, word) in cases {
        let (kind, message) = file.refused();
        assert!(kind == ErrorKind::UnsupportedFormat && message.contains(word), "{message}");
        assert!(!message.contains("DOE"));
    }
    assert_eq!(file.with(0x0028_0008, b"IS", *b"1 ").grey(), [0, 255]);
}

const FORCED: Options = Options {
    limits: Limits { max_file_bytes: 100_000, max_side: 1000, max_decoded_bytes: 100_000 },
    voi: Voi::None,
    force_photometric: true,
};
const FIRST: Options = Options { voi: Voi::First, force_photometric: false, ..FORCED };

#[test]
fn forced_colour_is_read_as_it_is() {
    let rgb = |pixels: &[u8], photometric: &[u8]| {
        let file = File::shallow(pixels).with(0x0028_0002, b"US", us(3)).with(0x0028_0011, b"US", us(2));
        file.with(0x0028_0004, b"CS", photometric)
    };
    let color = Pixels::Rgb8(vec![1, 2, 3, 4, 5, 6]);
    let pixels = rgb(&[1, 2, 3, 4, 5, 6], b"RGB ");
    assert_eq!(pixels.read(FORCED), color);
    assert_eq!(pixels.clone().syntax(BIG).read(FORCED), color);
    let planes = rgb(&[1, 4, 2, 5, 3, 6], b"RGB ").with(0x0028_0006, b"US", us(1));
    assert_eq!(planes.read(FORCED), color);
    assert_eq!(rgb(&[9, 9, 9, 200, 200, 200], b"RGB ").read(FORCED), Pixels::Gray8(vec![9, 200]));
    assert_eq!(
        rgb(&[76, 85, 255, 128, 128, 128], b"YBR_FULL").read(FORCED),
        Pixels::Rgb8(vec![254, 0, 0, 128, 128, 128])
    );
    let mut frame = vec![0; 64];
    frame[..16].copy_from_slice(b"\x03\0\0\0\x40\0\0\0\x44\0\0\0\x48\0\0\0");
    frame.extend_from_slice(&[1, 1, 4, 0, 1, 2, 5, 0, 1, 3, 6, 0]);
    let rle = pixels.clone().syntax(RLE).with(0x7fe0_0010, b"OB", encapsulate(&[&frame]));
    assert_eq!(rle.read(FORCED), color);
    let refused = [
        (rgb(&[1; 6], b"PALETTE COLOR "), "PALETTE COLOR"),
        (rgb(&[1; 6], b"YBR_FULL_422"), "subsampled"),
        (pixels.clone().with(0x0028_0100, b"US", us(16)).with(0x0028_0102, b"US", us(15)), "16 bits allocated"),
        (pixels.clone().with(0x0028_0002, b"US", us(4)), "4 samples"),
        (pixels.clone().syntax("1.2.840.10008.1.2.4.70").with(0x7fe0_0010, b"OB", encapsulate(&[b"1234"])), "not even"),
    ];
    for (file, word) in refused {
        let error = FORCED.decode(&file.bytes()).unwrap_err();
        assert!(error.kind() == ErrorKind::UnsupportedFormat && error.message().contains(word), "{error}");
    }
    let cut = FORCED.decode(&pixels.with(0x0028_0010, b"US", us(2)).bytes()).unwrap_err();
    assert_eq!(cut.kind(), ErrorKind::Malformed);
    // Three bytes a pixel count against the limits.
    let large = rgb(&[1; 6], b"RGB ").with(0x0028_0010, b"US", us(200)).with(0x0028_0011, b"US", us(200));
    assert_eq!(FORCED.decode(&large.bytes()).unwrap_err().kind(), ErrorKind::Limits);
}

#[test]
fn forced_grey_and_frames() {
    let file = File::deep(12, &[0, 510, 1]);
    assert_eq!(file.clone().without(0x0028_0004).read(FORCED), Pixels::Gray8(vec![0, 255, 1]));
    assert_eq!(file.clone().with(0x0028_0004, b"CS", *b"NONSENSE").read(FORCED), Pixels::Gray8(vec![0, 255, 1]));
    let frames = File::deep(12, &[0, 510, 1, 7, 8, 9]).with(0x0028_0011, b"US", us(3)).with(0x0028_0008, b"IS", *b"2 ");
    assert_eq!(frames.read(FORCED), Pixels::Gray8(vec![0, 255, 1]));
    assert!(decode(&frames.bytes(), &Limits::default()).unwrap_err().remedy().unwrap().contains("--force-photometric"));
    // Each frame in a fragment of its own.
    let frame = |a, b| [&b"\x01\0\0\0\x40\0\0\0"[..], &[0; 56], &[1, a, b, 0]].concat();
    let rle = File::shallow(&[0, 0]).syntax(RLE).with(0x0028_0008, b"IS", *b"2 ");
    let rle = rle.with(0x7fe0_0010, b"OB", encapsulate(&[&frame(1, 2), &frame(2, 1)]));
    assert_eq!(rle.read(FORCED), Pixels::Gray8(vec![0, 255]));
}

#[test]
fn first_window_or_table_decides_when_asked() {
    let file = File::deep(12, &[0, 50, 100, 101, 4000]);
    let window =
        |center: &[u8], width: &[u8]| file.clone().with(0x0028_1050, b"DS", center).with(0x0028_1051, b"DS", width);
    let plain = file.grey();
    assert_eq!(file.read(FIRST), Pixels::Gray8(plain.clone()));
    let one = window(b"50.5\\7 ", b"101\\9 ");
    assert_eq!(one.grey(), plain);
    assert_eq!(one.read(FIRST), Pixels::Gray8(vec![0, 128, 255, 255, 255]));
    assert_eq!(
        one.clone().with(0x0028_0004, b"CS", *b"MONOCHROME1 ").read(FIRST),
        Pixels::Gray8(vec![255, 127, 0, 0, 0])
    );
    // The window is over what the Modality LUT gives; padding stays at the minimum.
    let rescaled =
        one.with(0x0028_1053, b"DS", *b"0.5 ").with(0x0028_1052, b"DS", *b"25").with(0x0028_0120, b"US", us(4000));
    assert_eq!(rescaled.read(FIRST), Pixels::Gray8(vec![64, 128, 191, 193, 0]));
    let mut lut = b"\x28\0\x02\x30US\x06\0".to_vec();
    lut.extend(words(&[3, 50, 12]));
    lut.extend_from_slice(b"\x28\0\x06\x30OW\0\0\x06\0\0\0");
    lut.extend(words(&[0, 2048, 4095]));
    let table = window(b"1 ", b"2 ").with(0x0028_3010, b"SQ", item(&lut));
    assert_eq!(table.read(FIRST), Pixels::Gray8(vec![0, 0, 255, 255, 255]));
    lut[8] = 200;
    for (file, word) in [
        (window(b"1 ", b"0 "), "WindowWidth"),
        (window(b"1 ", b"Jane"), "WindowWidth"),
        (window(b"1 ", b"5 ").with(0x0028_1056, b"CS", *b"JANE"), "VOILUTFunction"),
        (file.clone().with(0x0028_3010, b"SQ", item(&lut)), "VOI LUT"),
    ] {
        let error = FIRST.decode(&file.bytes()).unwrap_err();
        assert!(error.message().contains(word) && !error.message().contains("J"), "{error}");
        assert!(decode(&file.bytes(), &Limits::default()).is_ok());
    }
}

#[test]
fn tags_that_break_their_rules_are_left_out() {
    let file = |view: &[u8], sex: &[u8], age: &[u8]| {
        let file = File::deep(12, &[0, 1]).with(0x0018_5101, b"CS", view).with(0x0010_0040, b"CS", sex);
        decode(&file.with(0x0010_1010, b"AS", age).with(0x0010_0020, b"LO", *b"ID42").bytes(), &Limits::default())
            .unwrap()
            .tags
    };
    let good = file(b"LL", b"F ", b"063Y");
    let shown = [good.view_position.as_deref(), good.patient_sex.as_deref(), good.patient_age.as_deref()];
    assert_eq!(shown, [Some("LL"), Some("F"), Some("063Y")]);
    assert!(!serde_json::to_string(&good).unwrap().contains("sha"));
    let bad = file(b"<b>x</b>", b"secret", b"oldY");
    assert!(bad.is_empty() && bad.patient_sha256 == good.patient_sha256);
    assert_ne!(good.patient_sha256.unwrap(), "ID42");
}

#[test]
fn missing_and_senseless_tags_are_named() {
    let file = File::deep(12, &[0, 1]);
    let names: [(u32, &str); 9] = [
        (0x0028_0002, "SamplesPerPixel"),
        (0x0028_0004, "PhotometricInterpretation"),
        (0x0028_0010, "Rows"),
        (0x0028_0011, "Columns"),
        (0x0028_0100, "BitsAllocated"),
        (0x0028_0101, "BitsStored"),
        (0x0028_0102, "HighBit"),
        (0x0028_0103, "PixelRepresentation"),
        (0x7fe0_0010, "PixelData"),
    ];
    for (tag, name) in names {
        let (kind, message) = file.clone().without(tag).refused();
        assert!(kind == ErrorKind::Malformed && message.contains(name), "{message}");
    }
    for (tag, value) in [(0x0028_0101, 0), (0x0028_0101, 17), (0x0028_0102, 16), (0x0028_0102, 3), (0x0028_0103, 2)] {
        assert_eq!(file.clone().with(tag, b"US", us(value)).refused().0, ErrorKind::Malformed);
    }
    assert_eq!(file.clone().with(0x0028_0010, b"US", us(0)).refused().0, ErrorKind::Malformed);
    assert_eq!(file.syntax("Doe^Jane").refused().0, ErrorKind::Malformed);
}

#[test]
fn size_is_checked_before_anything_is_decoded() {
    let file = File::deep(12, &[0, 1, 2]);
    let huge = file.clone().with(0x0028_0010, b"US", us(65_535)).with(0x0028_0011, b"US", us(65_535));
    assert_eq!(huge.refused().0, ErrorKind::Limits);
    let tall = file.clone().with(0x0028_0010, b"US", us(15_000)).with(0x0028_0011, b"US", us(15_000));
    assert_eq!(tall.refused().0, ErrorKind::Malformed);
    let limits = |max_side, max_decoded_bytes| Limits { max_side, max_decoded_bytes, ..Limits::default() };
    assert!(decode(&file.bytes(), &limits(3, 6)).is_ok());
    for limits in [limits(2, 6), limits(3, 5)] {
        assert_eq!(decode(&file.bytes(), &limits).unwrap_err().kind(), ErrorKind::Limits);
    }
    // The element says four gigabytes.
    let mut bytes = file.bytes();
    let at = bytes.len() - 10;
    bytes[at..at + 4].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff]);
    assert_eq!(decode(&bytes, &Limits::default()).unwrap_err().kind(), ErrorKind::Malformed);
    // Zeros deflate a thousandfold.
    let bomb = File::new(8, 8, 2, vec![0; 4_000_000]).syntax(DEFLATED).bytes();
    assert!(bomb.len() < 40_000);
    assert_eq!(decode(&bomb, &limits(100, 1_000_000)).unwrap_err().kind(), ErrorKind::Limits);
}

#[test]
fn sequences_nest_only_so_deep() {
    let nested = |depth: usize| {
        let open = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff";
        let close = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0";
        let file = File::deep(12, &[0, 1]);
        let head = file.bytes().len() - file.dataset().len();
        [&file.bytes()[..head], &open.repeat(depth), &close.repeat(depth), &file.dataset()].concat()
    };
    assert!(decode(&nested(60), &Limits::default()).is_ok());
    assert_eq!(decode(&nested(65), &Limits::default()).unwrap_err().kind(), ErrorKind::Malformed);
    assert_eq!(decode(&nested(1_000_000), &Limits::default()).unwrap_err().kind(), ErrorKind::Malformed);
}

#[test]
fn every_truncation_is_an_error() {
    let frame = [&b"\x01\0\0\0\x40\0\0\0"[..], &[0; 56], &[1, 1, 2, 0]].concat();
    let rle = File::shallow(&[1, 2]).syntax(RLE).with(0x7fe0_0010, b"OB", encapsulate(&[&frame]));
    assert_eq!(rle.grey(), [0, 255]);
    for file in [File::deep(12, &[0, 1, 2]), File::deep(12, &[0, 1, 2]).syntax(BIG), rle] {
        let bytes = file.bytes();
        for cut in 0..bytes.len() {
            let kind = decode(&bytes[..cut], &Limits::default()).unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::Malformed | ErrorKind::UnsupportedFormat), "{cut}: {kind:?}");
        }
    }
}

/// Four rows of six 12-bit values, compressed by DCMTK (JPEG lossless, JPEG-LS) and OpenJPEG.
const STREAMS: [(&str, &str); 3] = [
    (
        "1.2.840.10008.1.2.4.70",
        "ffd8ffc3000b100004000601011100ffc400160001010100000000000000000000000000090a10ffda0008010100010000ca5a96a5a96a5d20a96a5a96a5a97482a5a96a5a96a5d20a96a5a96a5a97ffffd9",
    ),
    (
        "1.2.840.10008.1.2.4.80",
        "ffd8fff7000b100004000601011100fff8000d01ffff0012004301140040ffda0008010100000000b4ae95d27a4547a41696d29a494869627a518a2944286d284e0a094027e4f9a480ffffd9",
    ),
    (
        "1.2.840.10008.1.2.4.90",
        "ff4fff5100290000000000060000000400000000000000000000000600000004000000000000000000010f0101ff52000c00000001000004040001ff5c00044080ff90000a00000000003f0001ff93dff891681216d40e5fe5b59910e3eac249a069585d17c124d2e8d75a155af4fa014d8cee6e2574a67852c30e804503913fffd9",
    ),
];

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn compressed_streams_are_exact_or_refused() {
    let values: Vec<i32> = (0..24).map(|i| (i % 6 * 331 + i / 6 * 577) % 4096).collect();
    let raw = File::deep(12, &values).with(0x0028_0010, b"US", us(4)).with(0x0028_0011, b"US", us(6));
    let expected = raw.grey();
    for (uid, stream) in STREAMS {
        let stream = unhex(stream);
        let file = raw.clone().syntax(uid);
        let with = |stream: &[u8]| file.clone().with(0x7fe0_0010, b"OB", encapsulate(&[stream]));
        assert_eq!(with(&stream).grey(), expected, "{uid}");
        let (head, tail) = stream.split_at(30);
        assert_eq!(file.clone().with(0x7fe0_0010, b"OB", encapsulate(&[head, tail])).grey(), expected, "{uid}");
        for cut in 0..stream.len() - 2 {
            let (kind, message) = with(&stream[..cut]).refused();
            assert!(kind == ErrorKind::Malformed && message.contains(uid), "{cut}: {message}");
        }
        // The data stop, the end marker is there: no grey where they are missing.
        for cut in stream.len() * 3 / 4..stream.len() - 4 {
            let (kind, message) = with(&[&stream[..cut], b"\xff\xd9"].concat()).refused();
            assert!(kind == ErrorKind::Malformed && message.contains(uid), "{cut}: {message}");
        }
        // Other sizes than the stream's are refused before it is decoded.
        let other = with(&stream).with(0x0028_0010, b"US", us(400));
        assert_eq!(other.refused().0, ErrorKind::Malformed);
        // A signed picture's samples keep their sign.
        let signed = with(&stream).with(0x0028_0103, b"US", us(1)).grey();
        assert_eq!(signed, raw.clone().with(0x0028_0103, b"US", us(1)).grey(), "{uid}");
        assert_eq!(
            raw.clone().syntax(uid).with(0x7fe0_0010, b"OB", encapsulate(&[])).refused().0,
            ErrorKind::Malformed
        );
    }
    let extended = unhex("ffd8ffc1000b0c0004000601011100ffda0008010100003f00ffd9");
    let file = raw.syntax("1.2.840.10008.1.2.4.51").with(0x7fe0_0010, b"OB", encapsulate(&[&extended]));
    let (kind, message) = file.refused();
    assert_eq!(kind, ErrorKind::UnsupportedFormat);
    assert!(message.contains("1.2.840.10008.1.2.4.51") && message.contains("12 bits"), "{message}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutated_files_never_panic(kind in 0usize..8,
                                 edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6)) {
        let film = File::deep(12, &[0; 24]).with(0x0028_0010, b"US", us(4)).with(0x0028_0011, b"US", us(6));
        let file = match kind {
            0..=2 => film.syntax(STREAMS[kind].0).with(0x7fe0_0010, b"OB", encapsulate(&[&unhex(STREAMS[kind].1)])),
            3 => film.syntax(RLE).with(0x7fe0_0010, b"OB", encapsulate(&[&[2; 100]])),
            kind => film.syntax([EXPLICIT, BIG, DEFLATED, "1.2.840.10008.1.2"][kind - 4]),
        };
        let mut bytes = file.bytes();
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let limits = Limits { max_file_bytes: 10_000, max_side: 300, max_decoded_bytes: 100_000 };
        if let Ok(scan) = decode(&bytes, &limits) {
            assert_eq!(scan.pixels.samples().len(), (scan.width * scan.height) as usize * scan.pixels.channels());
            assert!(scan.pixels.samples().len() <= 100_000);
        }
    }

    /// The streams alone, so that every edit meets a codec.
    #[test]
    fn mutated_streams_never_panic(kind in 0usize..3,
                                   edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..5)) {
        let mut stream = unhex(STREAMS[kind].1);
        for (at, value) in edits {
            let at = at.index(stream.len());
            stream[at] = value;
        }
        let film = File::deep(12, &[0; 24]).with(0x0028_0010, b"US", us(4)).with(0x0028_0011, b"US", us(6));
        let file = film.syntax(STREAMS[kind].0).with(0x7fe0_0010, b"OB", encapsulate(&[&stream]));
        if let Ok(scan) = decode(&file.bytes(), &Limits::default()) {
            assert_eq!(scan.pixels.samples().len(), 24);
        }
    }
}
