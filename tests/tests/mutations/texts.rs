//! manifest.csv, signatures and keys.

use rad_dino_edge::Error;
use rad_dino_edge::signature::Key;
use rad_dino_tests::mutate::{Random, damaged, damaged_text};
use rad_dino_tests::reference;
use rad_dino_train::data::Manifest;

use crate::door::Door;

const CSV: &[u8] =
    b"file,source,source_id,patient_id,split,view,sex,age,findings,report,mask,licence,source_url,note\n\
    a.png,s,1,p1,train,PA,F,61,pneumonia;edema,\"Two, lines\nof text\",,CC0,,x\n\
    b.png,s,2,p2,test,AP,M,,no_finding,,m.png,,,\n\
    c/d.dcm,t,3,p2,val,LATERAL,,7.5,,,,,,\"quoted \"\"twice\"\"\"\n";

/// What is read is written and read back the same.
fn manifest(bytes: &[u8]) -> Result<(), Error> {
    let manifest = Manifest::parse(bytes)?;
    let again = Manifest::parse(&manifest.to_csv()?)?;
    assert_eq!((manifest.rows, manifest.other_columns), (again.rows, again.other_columns));
    Ok(())
}

#[test]
fn manifests() {
    let (mut door, mut random) = (Door::new("manifest.csv", 1 << 20), Random::new(61));
    assert!(door.try_with(CSV, manifest).is_some(), "the whole file");
    for i in 0..6_000 {
        let bytes = if i % 2 == 0 { damaged_text(CSV, &mut random) } else { damaged(CSV, &mut random) };
        door.try_with(&bytes, manifest);
    }
}

#[test]
fn signatures() {
    let folder = tempfile::tempdir().expect("a folder");
    let given = |name: &str| std::fs::read(reference().join("signature").join(name)).expect("committed");
    let (file, signature) = (folder.path().join("signed"), folder.path().join("signed.minisig"));
    let (signed, whole, key) = (given("signed.bin"), given("signed.bin.minisig"), given("release.pub"));
    std::fs::write(&file, signed).expect("written");
    let (mut door, mut random) = (Door::new("signature", 1 << 20), Random::new(71));
    let mut verify = |given: &[u8], key: &[u8]| {
        std::fs::write(&signature, given).expect("written");
        door.try_with(given, |_| Key::read(&String::from_utf8_lossy(key))?.verify(&file, &signature)).is_some()
    };
    assert!(verify(&whole, &key));
    for i in 0..1_500 {
        let bytes = if i % 2 == 0 { damaged_text(&whole, &mut random) } else { damaged(&whole, &mut random) };
        if verify(&bytes, &key) {
            assert_eq!(covered(&bytes), covered(&whole), "{}", String::from_utf8_lossy(&bytes));
        }
    }
    for _ in 0..1_500 {
        let bytes = damaged(&key, &mut random);
        if verify(&whole, &bytes) {
            assert_eq!(last(&bytes), last(&key), "{}", String::from_utf8_lossy(&bytes));
        }
    }
}

/// What a signature says beside its untrusted comment.
fn covered(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    text.lines().skip(1).map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect()
}

/// The line with the key.
fn last(bytes: &[u8]) -> Option<String> {
    String::from_utf8_lossy(bytes).lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_string)
}
