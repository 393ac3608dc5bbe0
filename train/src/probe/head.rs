//! Fitted outputs as the head of a checkpoint folder, and what such a head says about features.

use rad_dino_edge::checkpoint::ProbeHead;

use super::gate::Gated;
use crate::linalg::Matrix;

/// The head with one output per entry of `outputs`, on features of length `width` (2D).
pub fn head(outputs: &[Gated], width: usize) -> ProbeHead {
    let hidden: usize = outputs.iter().map(|o| o.hidden.len()).sum();
    let mut head = ProbeHead { outputs: outputs.len(), hidden, ..ProbeHead::default() };
    let mut first = 0;
    for output in outputs {
        let mut weight: Vec<f32> = output.base.weight.iter().map(|w| *w as f32).collect();
        weight.resize(width + hidden, 0.0);
        for (unit, read_out) in &output.hidden {
            weight[width + first] = *read_out as f32;
            head.hidden_weight.extend(unit.weight.iter().map(|w| *w as f32));
            head.hidden_bias.push(unit.bias as f32);
            first += 1;
        }
        head.weight.extend(weight);
        head.bias.push(output.base.bias as f32);
    }
    head
}

/// The head's outputs [rows, K] for the features [rows, 2D].
pub fn apply(head: &ProbeHead, features: &Matrix) -> Matrix {
    let width = features.cols;
    let mut out = Matrix::zeros(features.rows, head.outputs);
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    for i in 0..features.rows {
        let row = features.row(i);
        let units = head.hidden_weight.chunks_exact(width).zip(&head.hidden_bias);
        let hidden: Vec<f32> = units.map(|(w, b)| (dot(w, row) + f64::from(*b)).max(0.0) as f32).collect();
        for k in 0..head.outputs {
            let weight = &head.weight[k * (width + head.hidden)..(k + 1) * (width + head.hidden)];
            let value = dot(&weight[..width], row) + dot(&weight[width..], &hidden) + f64::from(head.bias[k]);
            out.row_mut(i)[k] = value as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Linear;

    #[test]
    fn the_head_says_what_its_parts_say() {
        let linear = |a: f64, b: f64, bias: f64| Linear { weight: vec![a, b], bias };
        let plain = Gated { base: linear(1.0, -2.0, 0.5), hidden: Vec::new() };
        let gated = Gated {
            base: linear(0.0, 1.0, 0.0),
            hidden: vec![(linear(3.0, 0.0, -1.0), 1.0), (linear(0.0, 2.0, 0.0), -1.0)],
        };
        let features = Matrix { rows: 3, cols: 2, values: vec![1.0, 2.0, -1.0, 0.5, 0.0, -3.0] };
        let head = head(&[plain.clone(), gated.clone()], 2);
        assert_eq!((head.outputs, head.hidden, head.weight.len()), (2, 2, 8));
        let out = apply(&head, &features);
        for i in 0..3 {
            assert!((f64::from(out.row(i)[0]) - plain.output(features.row(i))).abs() < 1e-6);
            assert!((f64::from(out.row(i)[1]) - gated.output(features.row(i))).abs() < 1e-6);
        }
    }
}
