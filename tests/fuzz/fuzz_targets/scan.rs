//! Any bytes as a scan: PNG, JPEG, DICOM or nothing known.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rad_dino_fuzz::{LIMITS, caught_panics_are_fine, check_error, check_scan};

fuzz_target!(|bytes: &[u8]| {
    caught_panics_are_fine();
    match rad_dino_edge::scan::decode(bytes, &LIMITS) {
        Ok(scan) => check_scan(&scan),
        Err(error) => check_error(&error),
    }
});
