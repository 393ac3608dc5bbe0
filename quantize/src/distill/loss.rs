//! What the student is taught by.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::backend::Backend;
use rad_dino_train::ssl::DinoHead;

use super::config::Loss;
use super::network::Features;

/// The teacher's features of a batch, standardised.
#[derive(Clone, Debug)]
pub struct Targets<B: Backend> {
    /// [n, D]
    pub cls: Tensor<B, 2>,
    /// [n·P, D]
    pub patches: Tensor<B, 2>,
}

/// The teacher's head on CLS, and how standardised CLS becomes its input.
#[derive(Clone, Debug)]
pub struct Head<B: Backend> {
    /// Frozen.
    pub head: DinoHead<B>,
    /// [1, D]
    pub mean: Tensor<B, 2>,
    /// [1, D]
    pub deviation: Tensor<B, 2>,
}

/// Every term, unweighted, [1] each, and their weighted sum.
#[derive(Clone, Debug)]
pub struct Terms<B: Backend> {
    /// 1 − mean cosine of CLS.
    pub cls_cosine: Tensor<B, 1>,
    /// Smooth L1 of CLS.
    pub cls_l1: Tensor<B, 1>,
    /// 1 − mean cosine of patch tokens.
    pub patch_cosine: Tensor<B, 1>,
    /// Smooth L1 of patch tokens.
    pub patch_l1: Tensor<B, 1>,
    /// Squared difference of the cosines between films.
    pub relation: Tensor<B, 1>,
    /// Cross-entropy on the head.
    pub head: Tensor<B, 1>,
    /// What is minimised.
    pub total: Tensor<B, 1>,
}

/// The loss of a batch. Terms of weight 0 are 0 and cost nothing.
pub fn loss<B: Backend>(student: Features<B>, teacher: Targets<B>, weights: &Loss, head: Option<&Head<B>>) -> Terms<B> {
    let zero = || Tensor::<B, 1>::zeros([1], &student.own.device());
    let when = |weight: f64, term: &dyn Fn() -> Tensor<B, 1>| if weight > 0.0 { term() } else { zero() };
    let cosine = |a: &Tensor<B, 2>, b: &Tensor<B, 2>| cosines(a.clone(), b.clone()).mean().neg().add_scalar(1.0);
    let l1 = |a: &Tensor<B, 2>, b: &Tensor<B, 2>| smooth_l1(a.clone(), b.clone());
    let cls_cosine = when(weights.cls * weights.cosine, &|| cosine(&student.cls, &teacher.cls));
    let cls_l1 = when(weights.cls * weights.smooth_l1, &|| l1(&student.cls, &teacher.cls));
    let patch_cosine = when(weights.patches * weights.cosine, &|| cosine(&student.patches, &teacher.patches));
    let patch_l1 = when(weights.patches * weights.smooth_l1, &|| l1(&student.patches, &teacher.patches));
    let relation = when(weights.relation, &|| relation(student.own.clone(), teacher.cls.clone()));
    let head_term = match head {
        Some(head) if weights.head > 0.0 => {
            let logits = |x: &Tensor<B, 2>| {
                let x = x.clone().mul(head.deviation.clone()).add(head.mean.clone());
                head.head.forward(x).div_scalar(weights.head_temperature)
            };
            let targets = softmax(logits(&teacher.cls), 1);
            targets.mul(log_softmax(logits(&student.cls), 1)).sum_dim(1).mean().neg()
        }
        _ => zero(),
    };
    let mut total = zero();
    for (weight, term) in [
        (weights.cls * weights.cosine, &cls_cosine),
        (weights.cls * weights.smooth_l1, &cls_l1),
        (weights.patches * weights.cosine, &patch_cosine),
        (weights.patches * weights.smooth_l1, &patch_l1),
        (weights.relation, &relation),
        (weights.head, &head_term),
    ] {
        total = total.add(term.clone().mul_scalar(weight));
    }
    Terms { cls_cosine, cls_l1, patch_cosine, patch_l1, relation, head: head_term, total }
}

/// Cosine of each pair of rows, [n, 1].
pub fn cosines<B: Backend>(a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    unit(a).mul(unit(b)).sum_dim(1)
}

fn unit<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let norm = x.clone().mul(x.clone()).sum_dim(1).add_scalar(1e-12).sqrt();
    x.div(norm)
}

/// Mean of d²/2 below 1 and d − ½ above, d = |a − b|.
fn smooth_l1<B: Backend>(a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 1> {
    let difference = a.sub(b).abs();
    let inside = difference.clone().clamp_max(1.0);
    inside.clone().mul(difference.sub(inside.mul_scalar(0.5))).mean()
}

/// Mean squared difference of the cosines between films, each side about its batch mean.
fn relation<B: Backend>(student: Tensor<B, 2>, teacher: Tensor<B, 2>) -> Tensor<B, 1> {
    let gram = |x: Tensor<B, 2>| {
        let mean = x.clone().mean_dim(0);
        let x = unit(x.sub(mean));
        x.clone().matmul(x.transpose())
    };
    let difference = gram(student).sub(gram(teacher));
    difference.clone().mul(difference).mean()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;
    use burn::tensor::TensorData;
    use rad_dino_train::vit::linear::values;

    fn rows(values: &[f32], columns: usize) -> Tensor<Flex, 2> {
        let shape = [values.len() / columns, columns];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
    }

    #[test]
    fn terms_are_what_they_say() {
        let a = rows(&[1.0, 0.0, 0.0, 2.0], 2);
        let b = rows(&[3.0, 0.0, 2.0, 2.0], 2);
        let found = values(cosines(a.clone(), b.clone()));
        assert!((found[0] - 1.0).abs() < 1e-6 && (found[1] - 0.5f32.sqrt()).abs() < 1e-6);
        // differences 2, 0, 2, 0
        assert!((values(smooth_l1(a.clone(), b.clone()))[0] - 0.75).abs() < 1e-6);
        // a difference of ½ is in the square part
        assert!((values(smooth_l1(a.clone(), a.clone().add_scalar(0.5)))[0] - 0.125).abs() < 1e-6);
        // a rotation and a scale leave the relations as they are
        let x = rows(&[1.0, 2.0, -3.0, 0.5, 2.0, -1.0, 0.0, 1.0], 2);
        let turned = x.clone().matmul(rows(&[0.0, 3.0, -3.0, 0.0], 2)).add_scalar(4.0);
        assert!(values(relation(turned, x.clone()))[0] < 1e-9);
        assert!(values(relation(rows(&[1.0, 0.0, 0.0, 1.0, 5.0, 5.0, -1.0, 2.0], 2), x))[0] > 0.01);
    }

    #[test]
    fn the_total_is_weighted_and_off_terms_are_zero() {
        let features =
            || Features { own: rows(&[1.0, 2.0, 3.0, 1.0], 2), cls: rows(&[1.0, 0.5], 1), patches: rows(&[1.0; 4], 1) };
        let targets = || Targets { cls: rows(&[0.0, 0.5], 1), patches: rows(&[0.0; 4], 1) };
        let weights = Loss { cls: 2.0, patches: 3.0, cosine: 0.0, smooth_l1: 1.0, relation: 0.0, ..Loss::default() };
        let terms = loss(features(), targets(), &weights, None);
        assert!((values(terms.total)[0] - (2.0 * 0.25 + 3.0 * 0.5)).abs() < 1e-6);
        assert_eq!((values(terms.cls_cosine)[0], values(terms.relation)[0]), (0.0, 0.0));
    }
}
