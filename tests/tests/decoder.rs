//! Report decoders against transformers: tests/reference/make_decoders.py made the folders and what it says with them.

use std::path::{Path, PathBuf};

use rad_dino_edge::ErrorKind;
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::report::decoder::{Decoder, Options, Search, Stop};
use rad_dino_quantize::{DecoderOptions, convert_decoder};
use rad_dino_tests::{reference, run};
use serde_json::Value;

const CASES: [&str; 3] = ["grouped", "llama3", "biased"];
const GREEDY: Options = Options { search: Search::Greedy, max_new: 24, stop_loops: false };

fn folder(case: &str) -> PathBuf {
    reference().join("decoders").join(case)
}

fn converted(case: &str, precision: Precision, dir: &Path) -> PathBuf {
    let out = dir.join(format!("{case}.{}.onnx", precision.as_str()));
    let options = DecoderOptions { precision, out: out.clone(), name: None, model_version: "1".into() };
    convert_decoder(&folder(case), &options).unwrap();
    out
}

fn expected(case: &str) -> Vec<Value> {
    serde_json::from_slice(&std::fs::read(folder(case).join("expected.json")).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as u32).collect()
}

#[test]
fn fp32_says_what_transformers_says() {
    let dir = tempfile::tempdir().unwrap();
    for case in CASES {
        let decoder = Decoder::from_file(&converted(case, Precision::Fp32, dir.path())).unwrap();
        for want in expected(case) {
            let prompt = numbers(&want["prompt"]);
            let logits = decoder.logits(None, &prompt).unwrap();
            let last = &logits[logits.len() - 97..];
            for (ours, theirs) in last.iter().zip(want["last_logits"].as_array().unwrap()) {
                assert!((f64::from(*ours) - theirs.as_f64().unwrap()).abs() < 1e-4, "{case}: {ours} {theirs}");
            }
            let mut heard = vec![];
            let greedy = decoder.generate(None, &prompt, &GREEDY, |token| heard.push(token)).unwrap();
            assert_eq!(greedy.tokens, numbers(&want["greedy"]), "{case} {prompt:?}");
            assert_eq!((heard, greedy.log_probabilities.len()), (greedy.tokens.clone(), greedy.tokens.len()));
            assert_eq!(greedy.stop, if greedy.tokens.len() < 24 { Stop::End } else { Stop::Length });
            assert_eq!(decoder.tokenizer().unwrap().decode(&greedy.tokens), want["text"], "{case}");
            let one_beam = Options { search: Search::Beam(1), ..GREEDY };
            assert_eq!(decoder.generate(None, &prompt, &one_beam, |_| {}).unwrap().tokens, greedy.tokens);
        }
    }
}

#[test]
fn int8_stays_close() {
    let dir = tempfile::tempdir().unwrap();
    for case in CASES {
        let fp32 = Decoder::from_file(&converted(case, Precision::Fp32, dir.path())).unwrap();
        let path = converted(case, Precision::Int8, dir.path());
        let int8 = Decoder::from_file(&path).unwrap();
        let prompt: Vec<u32> = (3..40).collect();
        let (a, b) = (fp32.logits(None, &prompt).unwrap(), int8.logits(None, &prompt).unwrap());
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
        assert!(cosine > 0.99, "{case}: {cosine}");
        assert!(std::fs::metadata(path).unwrap().len() < 70_000);
    }
}

#[test]
fn beams_do_not_score_less_than_greed_and_draws_repeat() {
    let dir = tempfile::tempdir().unwrap();
    let decoder = Decoder::from_file(&converted("biased", Precision::Fp32, dir.path())).unwrap();
    let write = |search| {
        let options = Options { search, max_new: 12, stop_loops: false };
        decoder.generate(None, &[1], &options, |_| {}).unwrap()
    };
    let total = |p: &[f32]| p.iter().sum::<f32>();
    let (greedy, beams) = (write(Search::Greedy), write(Search::Beam(6)));
    assert_eq!(beams.tokens.len(), 12, "no text of this decoder ends early");
    assert!(total(&beams.log_probabilities) >= total(&greedy.log_probabilities));
    let draw = |seed| write(Search::Sample { temperature: 1.0, seed }).tokens;
    assert_eq!(draw(3), draw(3));
    assert!((0..4).any(|seed| draw(seed) != draw(3)));
}

#[test]
fn what_does_not_fit_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = converted("grouped", Precision::Fp32, dir.path());
    let decoder = Decoder::from_file(&path).unwrap();
    let kind = |tokens: &[u32], image: Option<&[f32]>, max_new| {
        let options = Options { max_new, ..GREEDY };
        decoder.generate(image, tokens, &options, |_| {}).unwrap_err().kind()
    };
    assert_eq!(kind(&[97], None, 1), ErrorKind::Usage);
    assert_eq!(kind(&[], None, 1), ErrorKind::Usage);
    assert_eq!(kind(&[1], Some(&[0.0; 32]), 1), ErrorKind::Model);
    assert_eq!(kind(&[1], None, usize::MAX), ErrorKind::Limits);
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 10, 1_000, bytes.len() / 2, bytes.len() - 1] {
        assert!(Decoder::from_bytes(&bytes[..cut]).is_err(), "{cut}");
    }
    // every byte of the manifest and the graph may be anything, and nothing panics
    for i in (0..bytes.len()).step_by(37) {
        let mut broken = bytes.clone();
        broken[i] ^= 0x55;
        if let Ok(decoder) = Decoder::from_bytes(&broken) {
            let _ = decoder.generate(None, &[1], &Options { max_new: 2, ..GREEDY }, |_| {});
        }
    }
}

#[test]
fn generate_prints_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d.onnx");
    let (from, out) = (folder("llama3"), path.to_str().unwrap());
    let done = run("rad-dino-quantize", &["decoder", from.to_str().unwrap(), "--precision", "fp32", "--out", out]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let want = &expected("llama3")[1];
    let tokens = "1,30,41,52";
    let args = ["generate", "--decoder", out, "--tokens", tokens, "--max-new", "24", "--format", "json"];
    let said: Value = serde_json::from_slice(&run("rad-dino-edge", &args).stdout).unwrap();
    assert_eq!((&said["tokens"], &said["text"]), (&want["greedy"], &want["text"]));
    let text = run("rad-dino-edge", &args[..7]).stdout;
    assert_eq!(String::from_utf8_lossy(&text).trim_end_matches('\n'), want["text"].as_str().unwrap());
    let refused = run("rad-dino-edge", &["generate", "--decoder", out, "--tokens", "500"]);
    assert_eq!(refused.status.code(), Some(2));
    let encoder = run("rad-dino-edge", &["info", "--model", out]);
    assert_eq!(encoder.status.code(), Some(3), "a decoder is no encoder");
}
