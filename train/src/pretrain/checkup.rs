//! What the student knows while it learns: k-NN and linear probes on val, and the rank of its features.

use std::path::PathBuf;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use rad_dino_edge::preprocess::Preprocessing;
use rad_dino_edge::scan::{self, Limits};
use rad_dino_edge::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use super::config::Watch;
use super::metrics::Line;
use crate::data::augment::{Film, push_normalized};
use crate::data::{Dataset, Split};
use crate::linalg::Matrix;
use crate::metrics::auroc::auroc;
use crate::probe::question::Question;
use crate::probe::{Knn, binary, findings, sex};
use crate::random::mix;
use crate::ssl::multi_crop::Rectangle;
use crate::vit::Encoder;
use crate::vit::linear::values;

/// Films a forward pass.
const FILMS: usize = 8;
/// Films of each answer that val needs before a question is asked.
const MIN_VAL: usize = 10;
/// Share of the first rank below which features have collapsed.
const COLLAPSE: f64 = 0.1;

/// What one question found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// Whose films.
    pub source: String,
    /// A finding, or `sex`.
    pub question: String,
    /// AUROC of the weighted vote of the nearest train films (cosine of CLS).
    pub knn_auroc: f64,
    /// Best AUROC of logistic regression on CLS ‖ mean patch over its strengths.
    pub linear_auroc: Option<f64>,
    /// Val films.
    pub films: usize,
    /// Those with the answer yes.
    pub positives: usize,
}

/// One look at the student; a line of watch.jsonl.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Steps done.
    pub step: usize,
    /// Participation ratio of the CLS covariance: how many directions are in use.
    pub rank: f64,
    /// All questions.
    pub marks: Vec<Mark>,
}

/// The films and questions of a run.
#[derive(Debug)]
pub struct Checkup {
    dataset: Dataset,
    films: Vec<Film>,
    preprocessing: Preprocessing,
    side: usize,
    neighbours: usize,
    first_rank: Option<f64>,
}

impl Checkup {
    /// Chooses at most `watch.films` labelled films of each source and split (train, val) of the manifests in `data`
    /// and decodes them; None when there are none. Packed files have no labels.
    ///
    /// # Errors
    /// Those of reading manifests; films that cannot be read are left out.
    pub fn new(
        watch: &Watch,
        data: &[PathBuf],
        preprocessing: &Preprocessing,
        side: usize,
        limits: &Limits,
    ) -> Result<Option<Self>> {
        let manifests: Vec<PathBuf> =
            data.iter().filter(|path| path.extension().is_none_or(|e| e != "pack")).cloned().collect();
        if manifests.is_empty() {
            return Ok(None);
        }
        let mut dataset = Dataset::read(&manifests)?;
        dataset.retain(|film| film.row.split() != Split::Test && film.row.findings.is_some());
        let mut order: Vec<(u64, usize)> = (0..dataset.films.len()).map(|i| (mix(i as u64), i)).collect();
        order.sort_unstable();
        let mut counts = std::collections::BTreeMap::<(&str, Split), usize>::new();
        let mut chosen = std::collections::BTreeSet::new();
        for (_, i) in order {
            let row = &dataset.films[i].row;
            let count = counts.entry((row.source.as_str(), row.split())).or_default();
            *count += 1;
            if *count <= watch.films {
                chosen.insert(dataset.films[i].path.clone());
            }
        }
        dataset.retain(|film| chosen.contains(&film.path));
        let mut films = Vec::with_capacity(dataset.films.len());
        dataset.retain(|film| match scan::read(&film.path, limits) {
            Ok(scan) => {
                films.push(square(&Film::new(&scan), side));
                true
            }
            Err(_) => false,
        });
        let checkup = Checkup {
            dataset,
            films,
            preprocessing: preprocessing.clone(),
            side,
            neighbours: watch.neighbours,
            first_rank: None,
        };
        Ok((!checkup.films.is_empty()).then_some(checkup))
    }

    /// Examines `encoder` after `step` steps.
    ///
    /// # Errors
    /// Those of the forward pass; `Data` when the rank has fallen below a tenth of what it was at first.
    pub fn examine<B: Backend>(&mut self, encoder: &Encoder<B>, step: usize, device: &B::Device) -> Result<Report> {
        let features = self.features(encoder, device)?;
        let rank = rank(&features, features.cols / 2);
        let first = *self.first_rank.get_or_insert(rank);
        if rank < COLLAPSE * first {
            let message = format!("step {step}: the features have collapsed: rank {rank:.1} after {first:.1}");
            return Err(Error::new(ErrorKind::Data, message)
                .hint("lower optimizer.rate or raise loss.koleo, and start again from the checkpoint"));
        }
        let knn = Knn { neighbours: self.neighbours, columns: 0..features.cols / 2 };
        let mut marks = Vec::new();
        for (source, name) in self.dataset.sources().into_iter().enumerate() {
            let labels = self.dataset.labels_of(name).map(|l| (l, findings::question(&self.dataset, l)));
            let questions = labels.chain(std::iter::once(("sex", sex::question(&self.dataset))));
            let questions =
                questions.map(|(label, question)| (label, question.of_source(source))).filter(|(_, q)| asked(q));
            for (label, question) in questions {
                let val = &question.val;
                let votes = knn.scores(&features, &question.train, &val.rows);
                let Some(knn_auroc) = auroc(&votes, &val.is_positive()) else { continue };
                let linear = binary::fit(&features, 0..features.cols, &question.train, val);
                marks.push(Mark {
                    source: name.to_owned(),
                    question: label.to_owned(),
                    knn_auroc,
                    linear_auroc: linear.and_then(|fit| fit.val_auroc),
                    films: val.len(),
                    positives: val.positives(),
                });
            }
        }
        Ok(Report { step, rank, marks })
    }

    /// CLS ‖ mean patch of every film.
    fn features<B: Backend>(&self, encoder: &Encoder<B>, device: &B::Device) -> Result<Matrix> {
        let mut rows = Vec::new();
        for films in self.films.chunks(FILMS) {
            let mut pixels = Vec::new();
            films.iter().for_each(|film| push_normalized(&film.grey, &self.preprocessing, &mut pixels));
            let shape = [films.len(), 3, self.side, self.side];
            let pixels = Tensor::<B, 4>::from_data(TensorData::new(pixels, shape), device);
            let (cls, patches) = encoder.split(encoder.forward(pixels, None, None)?);
            let [n, d] = cls.dims();
            let both = Tensor::cat(vec![cls, patches.mean_dim(1).reshape([n, d])], 1);
            rows.extend(values(both));
        }
        let (count, cols) = (self.films.len(), rows.len() / self.films.len().max(1));
        let mut matrix = Matrix::zeros(count, cols);
        matrix.values = rows;
        Ok(matrix)
    }
}

impl Line for Report {
    fn done(&self) -> usize {
        self.step
    }
}

impl Report {
    /// One line for people: the mean over questions.
    pub fn summary(&self) -> String {
        let n = self.marks.len().max(1) as f64;
        let knn = self.marks.iter().map(|m| m.knn_auroc).sum::<f64>() / n;
        let linear = self.marks.iter().map(|m| m.linear_auroc.unwrap_or(0.5)).sum::<f64>() / n;
        format!(
            "after {} steps: rank {:.0}, mean of {} questions on val: k-NN {knn:.3}, linear {linear:.3}",
            self.step,
            self.rank,
            self.marks.len()
        )
    }
}

fn asked(question: &Question) -> bool {
    let positives = question.val.positives();
    question.refusal().is_none() && positives >= MIN_VAL && question.val.len() - positives >= MIN_VAL
}

/// The largest centred square, resized.
fn square(film: &Film, side: usize) -> Film {
    let edge = film.width.min(film.height);
    let (left, top) = ((film.width - edge) / 2, (film.height - edge) / 2);
    let grey = film.crop(Rectangle { left, top, width: edge, height: edge }, side);
    Film { width: side, height: side, grey }
}

/// (Σλ)² / Σλ² of the covariance of the first `cols` columns, λ its eigenvalues: how many directions share the variance.
fn rank(features: &Matrix, cols: usize) -> f64 {
    let n = features.rows.max(1) as f64;
    let mut mean = vec![0.0; cols];
    (0..features.rows).for_each(|i| mean.iter_mut().zip(features.row(i)).for_each(|(m, x)| *m += f64::from(*x) / n));
    let moments = features.fold_rows(cols * cols, |i, sum| {
        let row: Vec<f64> = features.row(i).iter().zip(&mean).map(|(x, m)| f64::from(*x) - m).collect();
        for (a, out) in row.iter().zip(sum.chunks_exact_mut(cols)) {
            out.iter_mut().zip(&row).for_each(|(o, b)| *o += a * b);
        }
    });
    // Σλ is the trace, Σλ² the squared Frobenius norm
    let trace: f64 = (0..cols).map(|j| moments[j * cols + j]).sum();
    let squares: f64 = moments.iter().map(|m| m * m).sum();
    if squares > 0.0 { trace * trace / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn rank_counts_directions() {
        let mut random = Random::new(4);
        let mut features = Matrix::zeros(400, 12);
        for i in 0..400 {
            // six free columns, of which three are in use, and a shift
            for j in 0..3 {
                features.row_mut(i)[j] = random.normal() as f32 + 5.0;
            }
        }
        let found = rank(&features, 6);
        assert!((2.8..=3.0).contains(&found), "{found}");
        assert_eq!(rank(&Matrix::zeros(10, 6), 6), 0.0);
    }
}
