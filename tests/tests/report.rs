//! `infer --report` with a decoder: its text, its sentences, what the probes contradict. The decoder is made by hand to say
//! the same four sentences about any picture.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use rad_dino_edge::checkpoint::{
    Llama, LlamaBlock, LlamaConfig, LlamaWeights, ProbeHead, Probes, ProbesConfig, Projector, ReportConfig, Rope,
};
use rad_dino_edge::engine::Engine;
use rad_dino_edge::model::manifest::{Calibration, Finding, Heads, OutOfDistribution, Precision};
use rad_dino_edge::report::decoder::Decoder;
use rad_dino_quantize::{Options, convert, convert_beside};
use rad_dino_tests::{code, json_lines, reference, root, run, shared};
use serde_json::Value;

const SAID: [&str; 4] = [
    "There is pneumonia.",
    " No evidence of pneumonia.",
    " The heart is normal in size.",
    " There is a hiatal hernia.",
];

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    /// `limit` of out_of_distribution.
    fn new(limit: f64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoint");
        std::fs::create_dir(&checkpoint).unwrap();
        let source = reference().join("checkpoints/plain");
        for name in ["config.json", "preprocessor_config.json", "model.safetensors"] {
            std::fs::copy(source.join(name), checkpoint.join(name)).unwrap();
        }
        probes(limit).write(&checkpoint, 24).unwrap();
        let bench = Bench { folder };
        convert(&checkpoint, &Options::new(Precision::Int8, bench.at("model.onnx"))).unwrap();
        image::GrayImage::from_fn(90, 120, |x, y| image::Luma([((x + y * 2) % 256) as u8]))
            .save(bench.at("a.png"))
            .unwrap();
        bench
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The decoder's folder inside the checkpoint, as training leaves it, and the file beside the model.
    fn with_decoder(self, encoder_sha256: Option<&str>) -> Self {
        let engine = Engine::from_file(&self.at("model.onnx"), 1).unwrap();
        let sha256 = encoder_sha256.unwrap_or(&engine.manifest().unwrap().parent_sha256).to_owned();
        let report = ReportConfig {
            encoder_width: 24,
            grid: engine.shape().patches.isqrt(),
            pool: 2,
            hidden: 4,
            encoder_sha256: sha256,
            max_tokens: 12,
            ..ReportConfig::default()
        };
        speaker(report).write(&self.at("checkpoint/report")).unwrap();
        convert_beside(&self.at("checkpoint"), &self.at("model.onnx"), Precision::Int8).unwrap().unwrap();
        self
    }

    fn infer(&self, more: &[&str]) -> (i32, Vec<Value>, String) {
        let (model, scan) = (self.at("model.onnx"), self.at("a.png"));
        let mut args = vec!["infer", scan.to_str().unwrap(), "--model", model.to_str().unwrap(), "--format", "json"];
        args.extend(more);
        let output = run("rad-dino-edge", &args);
        (code(&output), json_lines(&output), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn probes(limit: f64) -> Probes {
    let calibration = Calibration { scale: 1.0, offset: 0.0 };
    let finding = |label: &str| Finding { label: label.into(), threshold: 0.5, calibration };
    let heads = Heads { findings: vec![finding("pneumonia"), finding("edema")], ..Heads::default() };
    // edema is positive in every picture
    let head =
        ProbeHead { outputs: 2, hidden: 0, weight: vec![0.0; 2 * 48], bias: vec![-3.0, 3.0], ..ProbeHead::default() };
    use base64::Engine as _;
    let basis = base64::engine::general_purpose::STANDARD.encode(vec![0u8; 2 * 24 * 2]);
    let out_of_distribution =
        Some(OutOfDistribution { limit, dim: 24, rank: 1, variances: vec![1.0, 1.0], basis, detectors: vec![] });
    let config =
        ProbesConfig { schema: "rad-dino-edge/probes/1".into(), heads, out_of_distribution, ..Default::default() };
    Probes { config, heads: BTreeMap::from([("findings".into(), head)]), segmentation: None }
}

/// Token t is followed by t + 1 whatever came before: rows of the table are unit vectors, the block adds nothing, and row
/// t + 1 of the head points along row t of the table. 0 is the start, 5 the end.
fn speaker(report: ReportConfig) -> Llama {
    let (v, d) = (6, 8);
    let config = LlamaConfig {
        vocab_size: v,
        hidden_size: d,
        intermediate_size: 4,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        head_dim: 4,
        rms_norm_eps: 1e-6,
        rope: Rope::Default { theta: 10_000.0 },
        tie_word_embeddings: false,
        attention_bias: false,
        mlp_bias: false,
        max_position_embeddings: 64,
        bos_token_id: Some(0),
        eos_token_ids: vec![5],
    };
    let layer = |n: usize| (vec![0.0; n], vec![]);
    let block = LlamaBlock {
        norm1: vec![1.0; d],
        query: layer(d * d),
        key: layer(4 * d),
        value: layer(4 * d),
        output: layer(d * d),
        norm2: vec![1.0; d],
        gate: layer(4 * d),
        up: layer(4 * d),
        down: layer(4 * d),
    };
    let mut weights = LlamaWeights {
        embedding: vec![0.0; v * d],
        blocks: vec![block],
        norm: vec![1.0; d],
        head: Some(vec![0.0; v * d]),
    };
    for t in 0..v {
        weights.embedding[t * d + t] = 1.0;
        if let Some(head) = weights.head.as_mut().filter(|_| t + 1 < v) {
            head[(t + 1) * d + t] = 4.0;
        }
    }
    let projector = Projector {
        fc1_weight: vec![0.1; report.hidden * report.encoder_width],
        fc1_bias: vec![0.0; report.hidden],
        fc2_weight: vec![0.1; d * report.hidden],
        fc2_bias: vec![0.0; d],
    };
    let vocabulary: BTreeMap<String, usize> =
        SAID.iter().enumerate().map(|(i, text)| (text.replace(' ', "Ġ"), i + 1)).collect();
    let special = |id: usize, content: &str| serde_json::json!({"id": id, "content": content, "special": true});
    let tokenizer = serde_json::json!({
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
        "added_tokens": [special(0, "<s>"), special(5, "</s>")],
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    });
    Llama {
        config,
        weights,
        projector: Some((report, projector)),
        tokenizer: Some(tokenizer.to_string()),
        sha256: String::new(),
    }
}

#[test]
fn what_the_probes_contradict_is_left_out_and_named() {
    let bench = Bench::new(1e9).with_decoder(None);
    let (exit, lines, stderr) = bench.infer(&["--report"]);
    assert_eq!(exit, 0, "{stderr}");
    let report = &lines[0]["report"];
    assert_eq!(report["source"], "decoder");
    let text = "No evidence of pneumonia. The heart is normal in size. There is a hiatal hernia.";
    assert_eq!(report["text"], text, "the probe denies pneumonia");
    let sentences = report["sentences"].as_array().unwrap();
    assert_eq!(sentences.len(), 3);
    assert!(sentences.iter().all(|s| (0.5..=1.0).contains(&s["confidence"].as_f64().unwrap())), "{sentences:?}");
    let kinds: Vec<&str> =
        lines[0]["warnings"].as_array().unwrap().iter().map(|w| w["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["report_contradiction", "report_omission"], "edema is positive and not mentioned");
    let (_, lines, _) = bench.infer(&["--report", "--report-grounded", "false"]);
    let sentences = lines[0]["report"]["sentences"].as_array().unwrap();
    assert_eq!(sentences.len(), 4);
    assert_eq!(sentences[0]["contradicts"], serde_json::json!(["pneumonia"]));
    assert_eq!(bench.infer(&["--report", "--threads", "2"]).1[0]["report"], bench.infer(&["--report"]).1[0]["report"]);
}

/// The report that `serve` with these arguments gives about the scan.
fn served(bench: &Bench, more: &[&str]) -> Value {
    let mut child = std::process::Command::new(rad_dino_tests::binary("rad-dino-edge"))
        .args(["serve", "--listen", "127.0.0.1:0", "--model"])
        .arg(bench.at("model.onnx"))
        .args(more)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let url = lines.find_map(|line| line["url"].as_str().map(String::from)).expect("it listens");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let film = std::fs::read(bench.at("a.png")).unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(
        stream,
        "POST /v1/infer?report HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        film.len()
    )
    .unwrap();
    stream.write_all(&film).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, body) = reply.split_once("\r\n\r\n").unwrap();
    serde_json::from_str::<Value>(body).unwrap()["report"].take()
}

#[test]
fn serve_writes_what_infer_writes() {
    let bench = Bench::new(1e9).with_decoder(None);
    let report = served(&bench, &[]);
    assert_eq!(report["source"], "decoder");
    assert_eq!(report, bench.infer(&["--report"]).1[0]["report"]);
    let kept = served(&bench, &["--report-grounded", "false"]);
    assert_eq!(kept["sentences"][0]["contradicts"], serde_json::json!(["pneumonia"]));
}

/// The report that `watch` with these arguments leaves about the scan.
fn watched(bench: &Bench, more: &[&str]) -> Value {
    let (films, out, model) = (bench.at("films"), bench.at("out"), bench.at("model.onnx"));
    std::fs::create_dir_all(&films).unwrap();
    std::fs::copy(bench.at("a.png"), films.join("a.png")).unwrap();
    let [films, folder, model] = [&films, &out, &model].map(|path| path.to_str().unwrap());
    let own = ["watch", films, "--out", folder, "--model", model, "--once", "--settle-seconds", "0"];
    let output = run("rad-dino-edge", &[&own[..], &["--min-free-mb", "1"], more].concat());
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let answer = std::fs::read(out.join("a.json")).unwrap();
    std::fs::remove_dir_all(out).unwrap();
    serde_json::from_slice::<Value>(&answer).unwrap()["report"].take()
}

#[test]
fn watch_writes_what_infer_writes() {
    let bench = Bench::new(1e9).with_decoder(None);
    let report = watched(&bench, &[]);
    assert_eq!(report["source"], "decoder");
    assert_eq!(report, bench.infer(&["--report"]).1[0]["report"]);
    let kept = watched(&bench, &["--report-grounded", "false"]);
    assert_eq!(kept["sentences"][0]["contradicts"], serde_json::json!(["pneumonia"]));
    let config = bench.at("edge.toml");
    std::fs::write(&config, "report_grounded = false\n").unwrap();
    assert_eq!(watched(&bench, &["--config", config.to_str().unwrap()]), kept);
    // another file by name, and none beside the model
    std::fs::rename(bench.at("model.report.onnx"), bench.at("other.onnx")).unwrap();
    assert_eq!(watched(&bench, &[])["source"], "template");
    assert_eq!(watched(&bench, &["--decoder", bench.at("other.onnx").to_str().unwrap()]), report);
}

#[test]
fn no_report_about_what_is_no_film_and_a_template_without_a_decoder() {
    let bench = Bench::new(1e-9).with_decoder(None);
    let (_, lines, _) = bench.infer(&["--report"]);
    assert_eq!(lines[0]["warnings"][0]["kind"], "out_of_distribution");
    assert!(lines[0].get("report").is_none());
    let (_, lines, _) = Bench::new(1e9).infer(&["--report"]);
    assert_eq!(lines[0]["report"]["source"], "template");
}

#[test]
fn a_decoder_of_another_encoder_is_refused() {
    let bench = Bench::new(1e9).with_decoder(Some("0000"));
    let (exit, _, stderr) = bench.infer(&["--report"]);
    assert_eq!(exit, 3, "{stderr}");
    assert!(stderr.contains("made with another encoder"), "{stderr}");
    let encoder = bench.at("model.onnx");
    let (exit, _, stderr) = bench.infer(&["--report", "--decoder", encoder.to_str().unwrap()]);
    assert_eq!(exit, 3, "an encoder is no decoder: {stderr}");
    assert_eq!(bench.infer(&["--report", "--decoder", "nowhere.onnx"]).0, 2);
    assert_eq!(bench.infer(&["--decoder", "nowhere.onnx"]).0, 2, "--decoder goes with --report");
}

#[test]
fn the_report_of_the_most_similar_film_is_repeated_where_the_probes_agree() {
    let bench = Bench::new(1e9);
    let at = |name: &str| bench.at(name).to_str().unwrap().to_owned();
    image::GrayImage::from_fn(90, 120, |x, y| image::Luma([((x * y) % 251) as u8])).save(at("b.png")).unwrap();
    let rows = "file,source,split,licence,report\n\
                b.png,S,train,CC0,There is a hiatal hernia.\n\
                a.png,S,train,CC0,There is pneumonia. The heart is normal in size.\n\
                a.png,S,test,CC0,Films of other splits stay out.\n\
                missing.png,S,train,CC0,No such film.\n";
    std::fs::write(at("films.csv"), rows).unwrap();
    let make = |rows: &str, out: &str| {
        run("rad-dino-quantize", &["retrieval", &at("model.onnx"), "--data", &at(rows), "--out", &at(out)])
    };
    let output = make("films.csv", "model.report.onnx");
    assert_eq!(code(&output), 1, "one film is missing");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("reports of 2 films") && stderr.contains("missing.png"), "{stderr}");
    let (exit, lines, stderr) = bench.infer(&["--report"]);
    assert_eq!(exit, 0, "{stderr}");
    let report = &lines[0]["report"];
    assert_eq!((&report["source"], &report["text"]), (&"retrieval".into(), &"The heart is normal in size.".into()));
    assert!(
        report["sentences"][0]["confidence"].as_f64().unwrap() > 0.999,
        "its own film is the most similar: {report}"
    );
    let kinds: Vec<&str> =
        lines[0]["warnings"].as_array().unwrap().iter().map(|w| w["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["report_contradiction", "report_omission"]);
    assert_eq!(watched(&bench, &["--decoder", &at("model.report.onnx")]), *report);

    std::fs::write(at("none.csv"), "file,source,split,report\na.png,S,val,Not of train.\n").unwrap();
    assert_eq!(code(&make("none.csv", "none.onnx")), 4);
    assert!(!bench.at("none.onnx").exists());
    let mut broken = std::fs::read(at("model.report.onnx")).unwrap();
    let place = broken.windows(5).rposition(|bytes| bytes == b"films").unwrap();
    broken[place..place + 5].copy_from_slice(b"other");
    std::fs::write(at("broken.onnx"), broken).unwrap();
    let (exit, _, stderr) = bench.infer(&["--report", "--decoder", &at("broken.onnx")]);
    assert_eq!(exit, 3, "{stderr}");
}

#[test]
fn the_embedded_decoder_writes_about_films() {
    let path = root().join("models/rad-dino-small.report.onnx");
    assert!(std::fs::metadata(&path).unwrap().len() <= 10_000_000);
    let decoder = Decoder::from_file(&path).unwrap();
    assert!(!decoder.manifest().licence.is_empty() && !decoder.manifest().training_data.is_empty());
    let demo = root().join("models/demo.png");
    let output = run("rad-dino-edge", &["infer", demo.to_str().unwrap(), "--format", "json", "--report"]);
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stderr));
    let answer = &json_lines(&output)[0];
    assert!(!answer["report"]["text"].as_str().unwrap().is_empty(), "{answer}");
    let Some(shared) = shared() else { return };
    let films = films(&shared.join("data/cxr/manifest.csv"), 6);
    let mut args = vec!["infer", "--format", "json", "--report"];
    args.extend(films.iter().map(|film| film.to_str().unwrap()));
    let output = run("rad-dino-edge", &args);
    let reports: Vec<_> = json_lines(&output).iter().map(|line| line["report"].clone()).collect();
    let written = reports.iter().filter(|report| report["source"] == "decoder").count();
    assert!(written >= 4, "{reports:?}");
}

/// Test films, evenly.
fn films(manifest: &Path, most: usize) -> Vec<PathBuf> {
    use rad_dino_train::data::{Dataset, Split};
    let dataset = Dataset::read(&[manifest.to_path_buf()]).unwrap();
    let of_test = dataset.of_split(Split::Test);
    of_test.iter().step_by(of_test.len() / most).take(most).map(|i| dataset.films[*i].path.clone()).collect()
}
