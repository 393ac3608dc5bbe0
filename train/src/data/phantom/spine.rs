//! The spine, faint behind the mediastinum.

use super::anatomy::Anatomy;
use super::map::step;

/// Bone in the way: vertebral bodies, darker discs, pedicles.
pub fn spine(a: &Anatomy, x: f64, y: f64) -> f64 {
    let d = (x - a.midline).abs();
    let width = 0.030 + 0.010 * y;
    let height = 0.048 + 0.014 * y;
    let phase = (y / height).fract();
    let disc = (-(((phase - 0.5) / 0.09).powi(2))).exp();
    let waist = 0.003 * (std::f64::consts::TAU * phase).cos();
    let body = step((width + waist - d) / 0.005) * (1.0 - 0.45 * disc);
    let pedicle = (-(((d - 0.019) / 0.006).powi(2) + ((phase - 0.93) / 0.12).powi(2))).exp();
    let process = (-((d / 0.005).powi(2) + ((phase - 0.15) / 0.16).powi(2))).exp();
    body + 0.35 * pedicle + 0.3 * process
}
