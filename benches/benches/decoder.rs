//! A report of 60 tokens by a decoder of 10 M parameters, after 64 image tokens and one to begin with: ours in int8 and
//! fp32, and tract running the fp32 file with its own operators, keys and values kept between the steps.
//! `cargo bench -p rad-dino-benches --bench decoder`

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rad_dino_benches::inline::inline_functions;
use rad_dino_edge::checkpoint::{Llama, LlamaConfig};
use rad_dino_edge::model::manifest::Precision;
use rad_dino_edge::report::decoder::{Decoder, Options, Search};
use rad_dino_quantize::{DecoderOptions, convert_decoder};
use rad_dino_train::report::{Config, weights};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

const PROMPT: usize = 65;
const NEW: usize = 60;

fn decoders(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let sizes = Config { width: 384, layers: 6, heads: 6, kv_heads: 2, feed_forward: 1024, ..Config::default() };
    let config = LlamaConfig { eos_token_ids: vec![], ..weights::fresh_config(&sizes, 2048, 0, 1) };
    let llama =
        Llama { weights: weights::fresh(&config, 1), config, projector: None, tokenizer: None, sha256: String::new() };
    let from = folder.path().join("llama");
    llama.write(&from).expect("written");
    let prompt: Vec<u32> = (0..PROMPT as u32).map(|i| i * 31 % 2048).collect();
    let mut group = c.benchmark_group("decoder_10m_60_tokens");
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3));
    group.throughput(Throughput::Elements(NEW as u64));
    for precision in [Precision::Int8, Precision::Fp32] {
        let out = folder.path().join(format!("{}.onnx", precision.as_str()));
        let options = DecoderOptions { precision, out: out.clone(), name: None, model_version: "0".to_owned() };
        convert_decoder(&from, &options).expect("converts");
        let decoder = Decoder::from_file(&out).expect("loads");
        let options = Options { search: Search::Greedy, max_new: NEW, stop_loops: false };
        group.bench_function(BenchmarkId::from_parameter(format!("ours {}", precision.as_str())), |b| {
            b.iter(|| decoder.generate(None, &prompt, &options, |_| {}).expect("writes"));
        });
    }
    let bytes = std::fs::read(folder.path().join("fp32.onnx")).expect("readable");
    let plain = inline_functions(&<ModelProto as prost::Message>::decode(&*bytes).expect("ONNX"));
    let run = tract(&plain, &llama.config);
    group.bench_function(BenchmarkId::from_parameter("tract fp32"), |b| b.iter(|| run(&prompt)));
    group.finish();
}

/// tract's own operators on the plain graph, one thread like ours: one plan reads the prompt, another takes each step.
fn tract(model: &ModelProto, config: &LlamaConfig) -> impl Fn(&[u32]) {
    let (layers, kv, hd) = (config.num_hidden_layers, config.num_key_value_heads, config.head_dim);
    let plan = |tokens: usize, kept: Option<&str>| {
        let mut graph = onnx().model_for_proto_model(model).expect("tract reads the graph");
        let past = kept.map_or(TDim::from(0), |name| graph.symbols.sym(name).into());
        graph.set_input_fact(0, i64::fact([1, tokens]).into()).expect("tokens");
        for i in 0..2 * layers {
            let fact = f32::fact([TDim::from(1), kv.to_dim(), past.clone(), hd.to_dim()]);
            graph.set_input_fact(1 + i, fact.into()).expect("the cache");
        }
        graph.into_optimized().and_then(TypedModel::into_runnable).expect("tract plans")
    };
    let (prefill, step) = (plan(PROMPT, None), plan(1, Some("P")));
    let largest = |logits: &Tensor| {
        let view = logits.to_plain_array_view::<f32>().expect("logits");
        let last = view.len() - config.vocab_size;
        let best = view.iter().skip(last).enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(0, |(i, _)| i as i64)
    };
    move |prompt| {
        let ids: Vec<i64> = prompt.iter().map(|id| i64::from(*id)).collect();
        let mut inputs: TVec<TValue> = tvec!(Tensor::from_shape(&[1, PROMPT], &ids).expect("a tensor").into_tvalue());
        let empty = || Tensor::from_shape::<f32>(&[1, kv, 0, hd], &[]).expect("a tensor").into_tvalue();
        inputs.extend((0..2 * layers).map(|_| empty()));
        let mut outputs = prefill.run(inputs).expect("tract runs");
        for _ in 1..NEW {
            let id = largest(&outputs[0]);
            let mut inputs: TVec<TValue> = tvec!(Tensor::from_shape(&[1, 1], &[id]).expect("a tensor").into_tvalue());
            inputs.extend(outputs.drain(1..));
            outputs = step.run(inputs).expect("tract runs");
        }
        largest(&outputs[0]);
    }
}

criterion_group!(benches, decoders);
criterion_main!(benches);
