//! What the fuzz targets share.

pub mod dicom;
pub mod service;

use std::sync::Once;

use rad_dino_edge::scan::{Limits, Scan};
use rad_dino_edge::{Error, ErrorKind};

/// Small, so that a find is a defect and not a large picture.
pub const LIMITS: Limits = Limits { max_file_bytes: 1 << 20, max_side: 4_096, max_decoded_bytes: 16 << 20 };

/// `scan::decode` catches what a decoder of others panics with, and libFuzzer's hook would abort before. With this one a
/// panic of our own code ends the run wherever it is caught, one of others only when nobody catches it.
pub fn caught_panics_are_fine() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map_or("", |place| place.file());
            if !place.contains("/registry/src/") && !place.starts_with("/rustc/") {
                eprintln!("{info}");
                std::process::abort();
            }
        }))
    });
}

/// As [`caught_panics_are_fine`], but a panic of our own code is told before it is looked at as a find.
pub fn tell_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|info| eprintln!("{info}"))));
}

/// An error has a message and a remedy, and is no defect of ours.
///
/// # Panics
/// When it is not so.
pub fn check_error(error: &Error) {
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    assert!(!error.message().is_empty());
    assert!(error.remedy().is_some(), "no remedy: {error}");
}

/// A decoded picture keeps its promises and can be preprocessed.
///
/// # Panics
/// When it does not.
pub fn check_scan(scan: &Scan) {
    use rad_dino_edge::preprocess::{Preprocessing, preprocess};
    assert!(scan.width > 0 && scan.height > 0);
    assert!(scan.width <= LIMITS.max_side && scan.height <= LIMITS.max_side);
    if u64::from(scan.width) * u64::from(scan.height) <= 1 << 18 {
        let mut pixels = vec![f32::NAN; 3 * 28 * 28];
        match preprocess(scan, &Preprocessing::plain(28), &mut pixels) {
            Ok(_) => assert!(pixels.iter().all(|x| x.is_finite())),
            Err(error) => check_error(&error),
        }
    }
}
