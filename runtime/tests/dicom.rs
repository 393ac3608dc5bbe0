//! Real and damaged DICOM files beside the repository (../shared/data/dicom, or $RDE_SHARED/data/dicom). With
//! RDE_DICOM_DUMP=DIR every picture is also written to DIR as PGM, for tests/reference/dicom_reference.py.
#![cfg(feature = "dicom")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rad_dino_edge::ErrorKind;
use rad_dino_edge::scan::{Format, Limits, Scan, decode, read};

const PATIENCE: Duration = Duration::from_secs(2);

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
    assert!(took < PATIENCE, "{}: {took:?}", path.display());
    scan
}

fn dump(name: &str, scan: &Scan) {
    let Some(folder) = std::env::var_os("RDE_DICOM_DUMP") else { return };
    let path = Path::new(&folder).join(name.replace('/', "_")).with_extension("pgm");
    let header = format!("P5\n{} {}\n255\n", scan.width, scan.height);
    fs::write(path, [header.as_bytes(), scan.pixels.samples()].concat()).unwrap();
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
        dump(&file, &scan);
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
        match timed(&folder.join(&file)) {
            Ok(scan) => {
                assert!(!file.starts_with("bad/"), "{file}");
                dump(&file, &scan);
            }
            Err(error) => {
                let kinds = [ErrorKind::Malformed, ErrorKind::UnsupportedFormat, ErrorKind::Limits];
                assert!(kinds.contains(&error.kind()) && error.remedy().is_some(), "{error}");
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
