//! Real and damaged DICOM files beside the repository (../shared/data/dicom, or $RDE_SHARED/data/dicom), compared with
//! what tests/reference/dicom_reference.py made of them with pydicom. With RDE_DICOM_DUMP=DIR every picture is also
//! written to DIR as PGM or PPM, for that script to compare as a whole.
#![cfg(feature = "dicom")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rad_dino_edge::ErrorKind;
use rad_dino_edge::scan::{Format, Limits, Options, Scan, Voi, decode, read};
use sha2::{Digest, Sha256};

fn folder() -> Option<PathBuf> {
    let shared = std::env::var_os("RDE_SHARED").map(PathBuf::from).or_else(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
        Some(root.parent()?.join("shared"))
    })?;
    let folder = shared.join("data/dicom");
    if folder.join("manifest.csv").is_file() {
        return Some(folder);
    }
    eprintln!("skipped: {} holds no manifest.csv; set RDE_SHARED", folder.display());
    None
}

/// (path, rows, columns, expected) of each row; fields in quotes may hold commas.
fn manifest(folder: &Path) -> Vec<(String, u32, u32, String)> {
    let text = fs::read_to_string(folder.join("manifest.csv")).unwrap();
    let mut lines = text.lines().map(fields);
    let header = lines.next().unwrap();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap();
    let (file, rows, columns, expect) = (column("file"), column("rows"), column("columns"), column("expect"));
    lines
        .map(|f| (f[file].clone(), f[rows].parse().unwrap_or(0), f[columns].parse().unwrap_or(0), f[expect].clone()))
        .collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

fn timed(path: &Path) -> rad_dino_edge::Result<Scan> {
    let start = Instant::now();
    let scan = read(path, &Limits::default());
    let took = start.elapsed();
    match &scan {
        Ok(scan) => eprintln!("{took:>10.1?}  {}×{}  {}", scan.width, scan.height, path.display()),
        Err(error) => eprintln!("{took:>10.1?}  {}  {error}", error.kind().as_str()),
    }
    scan
}

fn dump(name: &str, mode: &str, scan: &Scan) {
    let Some(folder) = std::env::var_os("RDE_DICOM_DUMP") else { return };
    let path = Path::new(&folder).join(format!("{}.{mode}.pnm", name.replace('/', "_")));
    let kind = if scan.pixels.channels() == 3 { "P6" } else { "P5" };
    let header = format!("{kind}\n{} {}\n255\n", scan.width, scan.height);
    fs::write(path, [header.as_bytes(), scan.pixels.samples()].concat()).unwrap();
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// Every picture as pydicom sees it: exact where decoding is, at 64 places elsewhere.
#[test]
fn pictures_are_pydicoms() {
    let Some(folder) = folder() else { return };
    // pydicom has decoders for these; we say what we do not read.
    let refused = ["odd_float_pixel_data.dcm", "odd_segmentation_1bit.dcm", "odd_HTJ2K_RGB.dcm"];
    let table = include_str!("../../tests/reference/data/dicom_pixels.csv");
    let mut compared = 0;
    for line in table.lines().skip(1) {
        let row = fields(line);
        let [file, mode, rows, columns, channels, allowed, digest, samples] = row.as_slice() else { panic!("{line}") };
        let options = Options {
            voi: if mode == "first" { Voi::First } else { Voi::None },
            force_photometric: mode == "forced",
            ..Options::default()
        };
        let scan = match options.read(&folder.join(file)) {
            Ok(scan) => scan,
            Err(error) => {
                let expected = error.kind() == ErrorKind::UnsupportedFormat && refused.contains(&file.as_str());
                assert!(expected && error.remedy().is_some(), "{file} {mode}: {error}");
                continue;
            }
        };
        dump(file, mode, &scan);
        assert_eq!((scan.height.to_string(), scan.width.to_string()), (rows.clone(), columns.clone()), "{file}");
        assert_eq!(scan.pixels.channels().to_string(), *channels, "{file} {mode}");
        let pixels = scan.pixels.samples();
        let allowed: u8 = allowed.parse().unwrap();
        for (i, expected) in unhex(samples).into_iter().enumerate() {
            let ours = pixels[i * (pixels.len() - 1) / 63];
            assert!(ours.abs_diff(expected) <= allowed, "{file} {mode}, sample {i}: {ours} for {expected}");
        }
        if !digest.is_empty() {
            assert_eq!(Sha256::digest(pixels).as_slice(), unhex(digest), "{file} {mode}");
        }
        compared += 1;
    }
    assert!(compared >= 50, "{compared}");
}

#[test]
fn tags_are_the_files() {
    let Some(folder) = folder() else { return };
    let tags = read(&folder.join("chest_RG1_UNCR.dcm"), &Limits::default()).unwrap().tags;
    assert_eq!((tags.view_position.as_deref(), tags.patient_sex.as_deref()), (Some("PA"), Some("F")));
    assert!(tags.patient_sha256.is_some_and(|hash| hash.len() == 64));
    let options = Options { force_photometric: true, ..Options::default() };
    let tags = options.read(&folder.join("odd_SC_rgb_jpeg.dcm")).unwrap().tags;
    assert_eq!((tags.patient_age.as_deref(), tags.age_years()), (Some("024Y"), Some(24.0)));
}

#[test]
fn what_should_decode_does() {
    let Some(folder) = folder() else { return };
    let mut decoded = 0;
    for (file, rows, columns, expect) in manifest(&folder) {
        if !expect.starts_with("decode") {
            continue;
        }
        let scan = timed(&folder.join(&file)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((scan.height, scan.width, scan.format), (rows, columns, Format::Dicom), "{file}");
        let samples = scan.pixels.samples();
        assert_eq!(samples.len(), (rows * columns) as usize, "{file}");
        assert_eq!((samples.iter().min(), samples.iter().max()), (Some(&0), Some(&255)), "{file}");
        decoded += 1;
    }
    assert!(decoded >= 20, "{decoded}");
}

#[test]
fn bad_and_odd_files_end_in_a_typed_error_or_a_picture() {
    let Some(folder) = folder() else { return };
    let mut tried = 0;
    for (file, _, _, expect) in manifest(&folder) {
        if expect.starts_with("decode") {
            continue;
        }
        let forced = Options { force_photometric: true, voi: Voi::First, ..Options::default() };
        let outcomes = [timed(&folder.join(&file)), forced.read(&folder.join(&file))];
        for outcome in outcomes {
            match outcome {
                Ok(scan) => {
                    assert!(!file.starts_with("bad/"), "{file}");
                    let samples = (scan.width * scan.height) as usize * scan.pixels.channels();
                    assert_eq!(scan.pixels.samples().len(), samples, "{file}");
                }
                Err(error) => {
                    let kinds = [ErrorKind::Malformed, ErrorKind::UnsupportedFormat, ErrorKind::Limits];
                    assert!(kinds.contains(&error.kind()) && error.remedy().is_some(), "{error}");
                }
            }
        }
        tried += 1;
    }
    assert!(tried >= 15, "{tried}");
}

/// Cut within its pixels, a real file is refused: no picture with grey where data were missing. Behind them may be
/// elements that nothing depends on.
#[test]
fn truncated_real_files_are_refused() {
    let Some(folder) = folder() else { return };
    let names = [
        "chest_NIH_mono2_8bit_JPEGbaseline.dcm",
        "chest_NIH_mono2_8bit_JPEGLS.dcm",
        "chest_NIH_mono2_8bit_J2Klossless.dcm",
        "chest_RG1quarter_mono1_15bit_deflated.dcm",
        "chest_RG1quarter_mono1_15bit_explicitBE.dcm",
        "odd_MR_small_RLE.dcm",
    ];
    for name in names {
        let bytes = fs::read(folder.join(name)).unwrap();
        let whole = decode(&bytes, &Limits::default()).unwrap();
        for percent in [1, 30, 60, 90, 99] {
            match decode(&bytes[..bytes.len() * percent / 100], &Limits::default()) {
                Ok(scan) => assert!(scan.pixels == whole.pixels && percent == 99, "{name} cut at {percent} %"),
                Err(error) => {
                    let kinds = [ErrorKind::Malformed, ErrorKind::UnsupportedFormat];
                    assert!(kinds.contains(&error.kind()), "{name}: {error}");
                }
            }
        }
    }
}
