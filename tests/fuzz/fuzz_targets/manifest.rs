//! Any bytes as manifest.csv: refused, or read; what was read is written and read back the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rad_dino_fuzz::tell_panics;
use rad_dino_train::data::Manifest;

fuzz_target!(|bytes: &[u8]| {
    tell_panics();
    if let Ok(manifest) = Manifest::parse(bytes) {
        let written = manifest.to_csv().expect("what was read can be written");
        let again = Manifest::parse(&written).expect("what was written can be read");
        assert_eq!(manifest.rows, again.rows);
    }
});
