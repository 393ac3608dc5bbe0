//! Written reports against the radiologists': text and clinical scores, with baselines beside every number.

use std::collections::BTreeMap;

use rad_dino_edge::model::manifest::Metric;
use rad_dino_edge::probe::FindingResult;
use rad_dino_edge::report::decoder::Decoder;
use rad_dino_edge::report::labeller::{CHEXPERT_5, CHEXPERT_14, sentences};
use rad_dino_edge::report::tokenizer::Tokenizer;
use rad_dino_edge::report::{contradictions, labeller};
use rad_dino_edge::{Error, ErrorKind, Result};

use crate::data::{Dataset, Split};
use crate::linalg::Matrix;
use crate::metrics::bleu::{Counts, bleu};
use crate::metrics::bootstrap::Patients;
use crate::metrics::f1::Confusion;
use crate::metrics::mae::mean;
use crate::metrics::rouge::rouge_l;
use crate::metrics::words::words;

/// A film with its reference text and what it looks like.
#[derive(Clone, Debug)]
pub struct Read<'a> {
    /// Position in the dataset, row of the features.
    pub film: usize,
    /// The radiologist's report, cleaned.
    pub text: &'a str,
}

/// What the writers are made of.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// Films.
    pub dataset: &'a Dataset,
    /// CLS [E], then image tokens [I, E] of each film.
    pub features: &'a Matrix,
    /// E
    pub width: usize,
    /// Writes.
    pub decoder: &'a Decoder,
    /// What the probes say of each film, none where there are no probes.
    pub findings: &'a [Vec<FindingResult>],
}

/// What each writer says of `of`: the decoder, the decoder with another film's image, the report of the nearest train film
/// by CLS, the most frequent train report.
///
/// # Errors
/// `Model` when the decoder has no tokenizer or writes about no images; those of [`Decoder::about`].
pub fn write(material: &Material<'_>, train: &[Read<'_>], of: &[Read<'_>]) -> Result<Vec<(&'static str, Vec<String>)>> {
    let half = of.len() / 2;
    let seen = of.iter().map(|read| said(material, read.film)).collect::<Result<Vec<_>>>()?;
    // half the films away, so that it is another patient's
    let blind = (0..of.len()).map(|i| said(material, of[(i + half.max(1)) % of.len()].film)).collect::<Result<_>>()?;
    let mut writers = vec![("decoder", seen), ("blind", blind)];
    if !train.is_empty() {
        writers.push(("nearest", of.iter().map(|read| nearest(material, train, read.film)).collect()));
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        train.iter().for_each(|read| *counts.entry(read.text).or_default() += 1);
        let most = counts.iter().max_by_key(|(text, n)| (**n, std::cmp::Reverse(**text)));
        let most = most.map(|(text, _)| (*text).to_owned()).unwrap_or_default();
        writers.push(("most_frequent", vec![most; of.len()]));
    }
    Ok(writers)
}

fn said(material: &Material<'_>, film: usize) -> Result<String> {
    let refuse = |what: &str| Error::new(ErrorKind::Model, what).hint("train one with rad-dino-train report");
    material.decoder.manifest().image.as_ref().ok_or_else(|| refuse("the decoder writes about no images"))?;
    let tokenizer: &Tokenizer = material.decoder.tokenizer().ok_or_else(|| refuse("the decoder has no tokenizer"))?;
    Ok(tokenizer.decode(&material.decoder.about(&material.features.row(film)[material.width..])?.tokens))
}

fn nearest(material: &Material<'_>, train: &[Read<'_>], film: usize) -> String {
    let cls = |film: usize| &material.features.row(film)[..material.width];
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let own = cls(film);
    let mut best = (f64::NEG_INFINITY, "");
    for read in train {
        let other = cls(read.film);
        let cosine = dot(own, other) / (dot(other, other).sqrt() + 1e-12);
        if cosine > best.0 {
            best = (cosine, read.text);
        }
    }
    best.1.to_owned()
}

/// The metrics of each writer over the films `of`.
pub fn scores(material: &Material<'_>, of: &[Read<'_>], writers: &[(&'static str, Vec<String>)]) -> Vec<Metric> {
    let row = |read: &Read<'_>| material.dataset.films[read.film].row.patient_id.as_str();
    let patients = Patients::new(of.iter().map(row));
    let references: Vec<Vec<String>> = of.iter().map(|read| words(read.text)).collect();
    let truth = |names: &[&str]| -> Vec<Vec<bool>> { of.iter().map(|read| asserted(read.text, names)).collect() };
    let (truth_14, truth_5) = (truth(&CHEXPERT_14), truth(&CHEXPERT_5));
    let mut metrics = vec![];
    for (writer, texts) in writers {
        let candidates: Vec<Vec<String>> = texts.iter().map(|text| words(text)).collect();
        let pairs = || references.iter().zip(&candidates);
        let rouge: Vec<f64> = pairs().map(|(a, b)| rouge_l(a, b)).collect();
        let counts: Vec<Counts> = pairs().map(|(a, b)| Counts::new(a, b)).collect();
        let called = |names: &[&str]| -> Vec<Vec<bool>> { texts.iter().map(|text| asserted(text, names)).collect() };
        let (called_14, called_5) = (called(&CHEXPERT_14), called(&CHEXPERT_5));
        let abnormal = truth_14.iter().filter(|labels| !labels[CHEXPERT_14.len() - 1]).count();
        let mut push = |name: &str, value: &(dyn Fn(&[f64]) -> Option<f64> + Sync)| {
            let point = value(&vec![1.0; of.len()]);
            let interval = point.and_then(|_| patients.interval(value));
            metrics.push(Metric {
                source: String::new(),
                task: "report".to_owned(),
                label: (*writer).to_owned(),
                metric: name.to_owned(),
                value: point,
                low: interval.map(|i| i.0),
                high: interval.map(|i| i.1),
                n: of.len(),
                positives: abnormal,
            });
        };
        push("rouge_l", &|w| mean(&rouge, w));
        push("bleu_1", &|w| bleu(&counts, w, 1));
        push("bleu_4", &|w| bleu(&counts, w, 4));
        push("micro_f1_14", &|w| Confusion::new(&truth_14, &called_14, w).micro());
        push("macro_f1_14", &|w| Confusion::new(&truth_14, &called_14, w).macro_mean());
        push("micro_f1_5", &|w| Confusion::new(&truth_5, &called_5, w).micro());
        push("macro_f1_5", &|w| Confusion::new(&truth_5, &called_5, w).macro_mean());
        let statements: Vec<(f64, f64)> = of
            .iter()
            .zip(texts)
            .map(|(read, text)| agreement(text, material.findings.get(read.film).map_or(&[][..], Vec::as_slice)))
            .collect();
        if statements.iter().any(|(all, _)| *all > 0.0) {
            push("probe_agreement", &|w| {
                let all: f64 = statements.iter().zip(w).map(|((all, _), w)| all * w).sum();
                let right: f64 = statements.iter().zip(w).map(|((_, right), w)| right * w).sum();
                (all > 0.0).then(|| right / all)
            });
        }
        let mut distinct: Vec<&String> = texts.iter().collect();
        distinct.sort_unstable();
        distinct.dedup();
        let share = distinct.len() as f64 / texts.len().max(1) as f64;
        metrics.push(Metric {
            source: String::new(),
            task: "report".to_owned(),
            label: (*writer).to_owned(),
            metric: "distinct".to_owned(),
            value: Some(share),
            low: None,
            high: None,
            n: of.len(),
            positives: abnormal,
        });
    }
    metrics
}

/// Which of `names` a text asserts; a doubt counts as an assertion.
fn asserted(text: &str, names: &[&str]) -> Vec<bool> {
    let found = labeller::asserted(text);
    names.iter().map(|name| found.contains(name)).collect()
}

/// Statements about findings the probes know, and those that the probes do not contradict.
fn agreement(text: &str, findings: &[FindingResult]) -> (f64, f64) {
    let (mut all, mut against) = (0, 0);
    for part in sentences(text) {
        let said = labeller::label(part);
        all += findings.iter().filter(|finding| said.contains_key(finding.label.as_str())).count();
        let known = |c: &rad_dino_edge::report::Contradiction| said.contains_key(c.label.as_str());
        against += contradictions(part, findings).iter().filter(|c| known(c)).count();
    }
    (all as f64, (all - against) as f64)
}

/// The reads of `source` in `split`, of all texts.
pub fn reads<'a>(dataset: &Dataset, texts: &'a [(usize, String)], source: &str, split: Split) -> Vec<Read<'a>> {
    let own = texts.iter().filter(|(film, _)| {
        let row = &dataset.films[*film].row;
        row.source == source && row.split() == split
    });
    own.map(|(film, text)| Read { film: *film, text }).collect()
}
