//! ROUGE-L and BLEU against rouge_score and nltk (tests/reference/make_text_metrics.py).

use rad_dino_train::metrics::bleu::{Counts, bleu};
use rad_dino_train::metrics::rouge::rouge_l;
use rad_dino_train::metrics::words::words;

#[test]
fn rouge_and_bleu_are_those_of_the_libraries() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/reference/data/text_metrics.json");
    let reference: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut counts = vec![];
    for (pair, want) in reference["pairs"].as_array().unwrap().iter().zip(reference["rouge_l"].as_array().unwrap()) {
        let [truth, said] = [0, 1].map(|i| words(pair[i].as_str().unwrap()));
        assert!((rouge_l(&truth, &said) - want.as_f64().unwrap()).abs() < 1e-12, "{pair}");
        counts.push(Counts::new(&truth, &said));
    }
    for n in 1..=4 {
        let want = reference["bleu"][n.to_string()].as_f64().unwrap();
        let ours = bleu(&counts, &vec![1.0; counts.len()], n).unwrap();
        assert!((ours - want).abs() < 1e-12, "BLEU-{n}: {ours} {want}");
    }
    assert_eq!(bleu(&[Counts::new(&words("a b"), &[])], &[1.0], 4), Some(0.0));
    assert_eq!(bleu(&[], &[], 1), None);
}
