//! What heads say about films, whatever the heads come from.

use rad_dino_edge::checkpoint::Probes;
use rad_dino_edge::model::manifest::{Calibration, Finding, Heads, Manifest, OutOfDistribution};

use super::Overlaps;
use crate::features::Encoder;
use crate::linalg::Matrix;
use crate::probe::{head, ood};

/// Outputs of all heads for the films of a dataset; what there is no head for is empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Predictions {
    /// Logits [films] of each label. A floor that could not learn a label has no logits: empty.
    pub findings: Vec<(Finding, Vec<f64>)>,
    /// Logit of female [films].
    pub sex: Option<(Calibration, Vec<f64>)>,
    /// Years [films].
    pub age: Option<Vec<f64>>,
    /// Class names and logits [films, V].
    pub view: Option<(Vec<String>, Matrix)>,
    /// Whether a film was flagged [films].
    pub out_of_distribution: Option<Vec<bool>>,
    /// How the masks drawn lie on the true ones.
    pub segmentation: Option<Overlaps>,
}

impl Predictions {
    /// What the heads of a checkpoint folder say about `features` [films, 2D].
    pub fn of_probes(probes: &Probes, features: &Matrix) -> Self {
        let output = |name: &str| probes.heads.get(name).map(|h| head::apply(h, features));
        let mut predictions = assemble(&probes.config.heads, output);
        predictions.flag(probes.config.out_of_distribution.as_ref(), features);
        predictions
    }

    /// What a model file's own outputs say; `features` is what [`Encoder`] makes of the films.
    pub fn of_model(encoder: &Encoder, features: &Matrix) -> Self {
        let Some(manifest) = encoder.engine().manifest() else { return Predictions::default() };
        let output = |name: &str| Some(features.select(0..features.rows, encoder.columns(name)?));
        let mut predictions = assemble(&manifest.heads, output);
        predictions.flag(manifest.out_of_distribution.as_ref(), features);
        predictions
    }

    /// The same outputs under the labels, calibrations, thresholds and limit of `manifest`, which names the same heads.
    pub fn with_manifest(&self, manifest: &Manifest, features: &Matrix) -> Self {
        let mut predictions = self.clone();
        for ((finding, _), fresh) in predictions.findings.iter_mut().zip(&manifest.heads.findings) {
            finding.clone_from(fresh);
        }
        if let (Some((calibration, _)), Some(fresh)) = (&mut predictions.sex, manifest.heads.sex) {
            *calibration = fresh;
        }
        predictions.flag(manifest.out_of_distribution.as_ref(), features);
        predictions
    }

    /// Whether there is nothing to evaluate.
    pub fn is_empty(&self) -> bool {
        let numbers = self.findings.is_empty() && self.sex.is_none() && self.age.is_none() && self.view.is_none();
        numbers && self.segmentation.is_none()
    }

    fn flag(&mut self, fitted: Option<&OutOfDistribution>, features: &Matrix) {
        let rows: Vec<usize> = (0..features.rows).collect();
        self.out_of_distribution = fitted.and_then(|fitted| ood::flags(fitted, features, &rows));
    }
}

fn assemble(heads: &Heads, output: impl Fn(&str) -> Option<Matrix>) -> Predictions {
    let findings = (!heads.findings.is_empty()).then(|| output("findings")).flatten();
    let labels = findings
        .iter()
        .flat_map(|logits| heads.findings.iter().enumerate().map(|(k, finding)| (finding.clone(), column(logits, k))));
    Predictions {
        findings: labels.collect(),
        sex: heads.sex.and_then(|calibration| Some((calibration, column(&output("sex")?, 0)))),
        age: heads.age.then(|| output("age")).flatten().map(|years| column(&years, 0)),
        view: (!heads.view.is_empty()).then(|| output("view")).flatten().map(|logits| (heads.view.clone(), logits)),
        out_of_distribution: None,
        segmentation: None,
    }
}

/// Column `k` as f64.
pub fn column(matrix: &Matrix, k: usize) -> Vec<f64> {
    (0..matrix.rows).map(|i| f64::from(matrix.row(i)[k])).collect()
}
