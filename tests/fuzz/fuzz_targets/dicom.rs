//! DICOM by structure.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rad_dino_fuzz::dicom::Film;
use rad_dino_fuzz::{LIMITS, caught_panics_are_fine, check_error, check_scan};

fuzz_target!(|film: Film| {
    caught_panics_are_fine();
    match rad_dino_edge::scan::decode(&film.bytes(), &LIMITS) {
        Ok(scan) => check_scan(&scan),
        Err(error) => check_error(&error),
    }
});
