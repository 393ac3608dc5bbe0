//! One head out of one head a source.
//!
//! Where several sources share a label, a linear model fitted on all of them must spend its weights on what differs
//! between the hospitals and loses on each. Instead, each source s gets its own linear head z_s, put on a common
//! scale by Platt scaling on its own val films. A linear gate g_s (is the film like those of s?) then switches between
//! them by pairs of hidden units, with Δ_s = z_s − z_0 and M large:
//!
//! z = z_0 + Σ_{s>0} relu(Δ_s + M·g_s) − relu(M·g_s)
//!
//! Where g_s is clearly positive the pair adds up to Δ_s, where clearly negative to 0, and in between it interpolates:
//! a piecewise linear function that is continuous everywhere.

use std::ops::Range;

use super::examples::Examples;
use super::{Linear, binary};
use crate::linalg::Matrix;
use crate::metrics::bootstrap::percentile;

/// Share of a source's training films whose gate need not be fully open or closed.
const SLACK: f64 = 0.01;

/// z = base · f + Σ read-out · relu(hidden · f).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gated {
    /// The linear part.
    pub base: Linear,
    /// Hidden units with their read-out weights.
    pub hidden: Vec<(Linear, f64)>,
}

impl Gated {
    /// The output for one feature vector.
    pub fn output(&self, features: &[f32]) -> f64 {
        let hidden: f64 = self.hidden.iter().map(|(unit, weight)| weight * unit.output(features).max(0.0)).sum();
        self.base.output(features) + hidden
    }

    /// The outputs for the rows `rows` of `features`.
    pub fn outputs(&self, features: &Matrix, rows: &[usize]) -> Vec<f64> {
        rows.iter().map(|&row| self.output(features.row(row))).collect()
    }
}

/// A linear head is a gated one without hidden units.
impl From<Linear> for Gated {
    fn from(base: Linear) -> Self {
        Gated { base, hidden: Vec::new() }
    }
}

/// Joins `heads`, one a source in the order of `train.sources()`. The gates see the columns `gate_cols`. None when a
/// gate cannot be fitted.
pub fn join(
    features: &Matrix,
    gate_cols: Range<usize>,
    train: &Examples,
    val: &Examples,
    heads: &[Linear],
) -> Option<Gated> {
    let sources = train.sources();
    let (first, others) = heads.split_first()?;
    let mut gated = Gated { base: first.clone(), hidden: Vec::new() };
    for (head, source) in others.iter().zip(&sources[1..]) {
        let membership = |examples: &Examples| Examples {
            rows: examples.rows.clone(),
            source: vec![0; examples.len()],
            target: examples.source.iter().map(|s| f64::from(u8::from(s == source))).collect(),
        };
        let (inside, val_inside) = (membership(train), membership(val));
        let gate = binary::fit(features, gate_cols.clone(), &inside, &val_inside)?.linear;
        let difference = minus(head, first);
        let mut margins: Vec<f64> = gate.outputs(features, &train.rows).into_iter().map(f64::abs).collect();
        margins.sort_by(f64::total_cmp);
        let margin = percentile(&margins, SLACK).max(percentile(&margins, 0.5) * 1e-2);
        let reach = difference.outputs(features, &train.rows).into_iter().fold(0.0f64, |m, d| m.max(d.abs()));
        let wide = gate.scaled(if margin > 0.0 { reach / margin } else { 1.0 }, 0.0);
        gated.hidden.push((plus(&difference, &wide), 1.0));
        gated.hidden.push((wide, -1.0));
    }
    Some(gated)
}

fn plus(a: &Linear, b: &Linear) -> Linear {
    Linear { weight: a.weight.iter().zip(&b.weight).map(|(a, b)| a + b).collect(), bias: a.bias + b.bias }
}

fn minus(a: &Linear, b: &Linear) -> Linear {
    plus(a, &b.scaled(-1.0, 0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::auroc;
    use crate::random::Random;

    #[test]
    fn each_source_gets_its_own_head() {
        // Column 0 tells the source; the disease shows in column 1 with opposite sign in the two sources.
        let mut random = Random::new(4);
        let n = 600;
        let mut features = Matrix::zeros(n, 3);
        let mut examples = Examples::default();
        for i in 0..n {
            let (source, positive) = (i % 2, random.chance(0.5));
            let sign = if source == 0 { 1.0 } else { -1.0 };
            let evidence = sign * (if positive { 1.0 } else { -1.0 }) + random.normal();
            features.row_mut(i).copy_from_slice(&[sign as f32 * 4.0 + random.normal() as f32, evidence as f32, 1.0]);
            examples.rows.push(i);
            examples.source.push(source);
            examples.target.push(f64::from(u8::from(positive)));
        }
        let heads: Vec<Linear> = [0, 1]
            .map(|s| {
                let own = examples.filter(|source| source == s);
                binary::fit(&features, 0..3, &own, &own).unwrap().linear
            })
            .to_vec();
        let gated = join(&features, 0..3, &examples, &examples, &heads).unwrap();
        let joint = binary::fit(&features, 0..3, &examples, &examples).unwrap().linear;
        let (mut lost, mut gained) = (0.0, 0.0);
        for s in [0, 1] {
            let own = examples.filter(|source| source == s);
            let score = |outputs: Vec<f64>| auroc(&outputs, &own.is_positive()).unwrap();
            let of_gated = score(gated.outputs(&features, &own.rows));
            lost += score(heads[s].outputs(&features, &own.rows)) - of_gated;
            gained += of_gated - score(joint.outputs(&features, &own.rows));
        }
        assert!(lost / 2.0 < 0.01 && gained / 2.0 > 0.3, "lost {lost}, gained {gained}");
    }
}
