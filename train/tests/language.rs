//! The pre-trained text encoder against transformers, and as the rival that reads.
#![cfg(feature = "burn")]

use std::path::PathBuf;

use burn::backend::Flex;
use rad_dino_edge::ErrorKind;
use rad_dino_train::language::bert_folder::BertFolder;
use rad_dino_train::language::text_encoder::LENGTH;
use rad_dino_train::vit::Precision;
use safetensors::SafeTensors;

/// Made by tests/reference/make_bert.py.
fn reference() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/reference/data/bert")
}

#[test]
fn bert_gives_what_transformers_gives() {
    let folder = BertFolder::<Flex>::read(&reference(), LENGTH, &Default::default()).unwrap();
    let reports: Vec<String> =
        serde_json::from_slice(&std::fs::read(reference().join("reports.json")).unwrap()).unwrap();
    let bytes = std::fs::read(reference().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |name: &str| -> Vec<f32> {
        expected.tensor(name).unwrap().data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    };
    let (ids, known): (Vec<_>, Vec<_>) = reports.iter().map(|r| folder.tokenizer.encode(r).unwrap()).unzip();
    assert!(ids.iter().flatten().map(|id| *id as f32).eq(floats("ids")), "{ids:?}");
    let pooled: Vec<f32> = folder.bert.forward(&ids, &known, Precision::F32).into_data().iter().collect();
    let wanted = floats("pooled");
    assert_eq!(pooled.len(), wanted.len());
    for (got, wanted) in pooled.iter().zip(&wanted) {
        assert!((got - wanted).abs() < 1e-5, "{got} {wanted}");
    }
    // what de-identification took away says nothing
    let plain = folder.tokenizer.encode("The heart is normal.").unwrap();
    assert_eq!(folder.tokenizer.encode("XXXX The heart is xxxx. normal.").unwrap(), plain);
}

#[test]
fn broken_folders_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let copy = |name: &str| std::fs::copy(reference().join(name), dir.path().join(name)).unwrap();
    let read = || BertFolder::<Flex>::read(dir.path(), LENGTH, &Default::default()).map(|_| ()).unwrap_err();
    assert_eq!(read().kind(), ErrorKind::Io);
    copy("config.json");
    copy("tokenizer.json");
    copy("model.safetensors");
    let config = std::fs::read_to_string(dir.path().join("config.json")).unwrap();
    std::fs::write(dir.path().join("config.json"), config.replace("\"hidden_size\": 32", "\"hidden_size\": 36"))
        .unwrap();
    assert!(read().message().contains("tensor embeddings.word_embeddings.weight"), "{}", read());
    std::fs::write(dir.path().join("config.json"), config.replace("\"bert\"", "\"gpt2\"")).unwrap();
    assert!(read().message().contains("config.json"), "{}", read());
}
