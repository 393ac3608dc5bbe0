//! The teacher: an exponential moving average of the student.

use burn::module::Module;
use burn::tensor::backend::Backend;

use crate::optim::parameters::{Flat, replace};

/// θ′ ← m·θ′ + (1 − m)·θ for every parameter of `teacher` that `student` has by the same name.
pub fn update<B: Backend, M: Module<B>>(teacher: M, student: &Flat<B>, momentum: f64) -> M {
    replace(teacher, |name, old| {
        let new = student.get(name)?.clone();
        Some(old.mul_scalar(momentum).add(new.mul_scalar(1.0 - momentum)))
    })
}
