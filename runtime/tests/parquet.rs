//! `embed --format parquet` with the embedded model, read back by the Parquet crate's own reader.
#![cfg(all(feature = "parquet", feature = "embedded-model"))]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

fn embed(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rad-dino-edge")).arg("embed").args(arguments).output().expect("starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("not killed")
}

fn rows(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).expect("a shard")).expect("Parquet");
    reader.build().expect("a reader").map(|batch| batch.expect("a batch")).collect()
}

fn films(folder: &Path) {
    for i in 0..6u32 {
        image::GrayImage::from_fn(40 + i, 30, |x, y| image::Luma([(x * (i + 1) + y * 3) as u8]))
            .save(folder.join(format!("{i}.png")))
            .expect("saved");
    }
    std::fs::write(folder.join("broken.png"), b"no picture").expect("written");
}

#[test]
fn shards_hold_every_scan_once_and_the_numbers_of_npy() {
    let folder = tempfile::tempdir().expect("a folder");
    let (films_at, out) = (folder.path().join("films"), folder.path().join("out"));
    std::fs::create_dir(&films_at).expect("created");
    films(&films_at);
    let (from, to) = (films_at.to_string_lossy(), out.to_string_lossy());
    let mut codes = vec![];
    for shard in ["0/2", "1/2"] {
        codes.push(code(&embed(&[&from, "--out", &to, "--format", "parquet", "--shard", shard])));
    }
    codes.sort_unstable();
    assert!(codes == [0, 1] || codes == [0, 4], "one shard holds the broken scan: {codes:?}");

    let mut found = BTreeMap::new();
    for shard in ["part-00000-of-00002.parquet", "part-00001-of-00002.parquet"] {
        for batch in rows(&out.join(shard)) {
            let names: Vec<_> = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(names, ["path", "sha256", "embedding", "error"]);
            let (paths, hashes) = (batch.column(0).as_string::<i32>(), batch.column(1).as_string::<i32>());
            let (lists, errors) = (batch.column(2).as_fixed_size_list(), batch.column(3).as_string::<i32>());
            for i in 0..batch.num_rows() {
                let there = lists.is_valid(i);
                assert_eq!((there, there), (hashes.is_valid(i), errors.is_null(i)), "{}", paths.value(i));
                let values = lists.value(i).as_primitive::<Float32Type>().values().to_vec();
                let embedding = there.then_some(values);
                let old = found.insert(paths.value(i).to_string(), embedding);
                assert!(old.is_none(), "{} is in two shards", paths.value(i));
            }
        }
    }
    assert_eq!(found.len(), 7);
    let failed: Vec<_> = found.iter().filter(|(_, e)| e.is_none()).map(|(path, _)| path.as_str()).collect();
    assert!(matches!(failed[..], [path] if path.ends_with("broken.png")), "{failed:?}");

    let npy = folder.path().join("all.npy");
    embed(&[&from, "--out", &npy.to_string_lossy()]);
    let bytes = std::fs::read(npy).expect("written");
    let data = &bytes[10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))..];
    let all: Vec<f32> = data.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    // Both are in the order of the paths; npy has a row of NaN for the broken scan.
    for (row, embedding) in all.chunks(all.len() / 7).zip(found.values()) {
        match embedding {
            Some(values) => assert_eq!(values, row),
            None => assert!(row.iter().all(|x| x.is_nan())),
        }
    }
}

#[test]
fn a_finished_shard_is_left_alone_and_another_model_is_no_continuation() {
    let folder = tempfile::tempdir().expect("a folder");
    films(folder.path());
    let (from, out) = (folder.path().to_string_lossy().into_owned(), folder.path().join("out"));
    let to = out.to_string_lossy().into_owned();
    let run = |more: &[&str]| embed(&[&[&from, "--out", &to, "--format", "parquet"][..], more].concat());
    assert_eq!(code(&run(&[])), 1);
    let shard = out.join("part-00000-of-00001.parquet");
    let (bytes, time) = (std::fs::read(&shard).expect("written"), shard.metadata().and_then(|m| m.modified()));
    assert_eq!(code(&run(&[])), 0, "nothing is left to do");
    assert_eq!(shard.metadata().and_then(|m| m.modified()).expect("a time"), time.expect("a time"));
    assert_eq!(code(&run(&["--tokens", "patch"])), 2, "other tokens");
    std::fs::remove_file(&shard).expect("removed");
    assert_eq!(code(&run(&["--threads", "1"])), 1);
    assert!(bytes == std::fs::read(&shard).expect("written"), "the same bytes at any number of threads");
    std::fs::write(&shard, b"half a file").expect("written");
    assert_eq!(code(&run(&[])), 4, "a damaged shard is not taken for a finished one");
}
