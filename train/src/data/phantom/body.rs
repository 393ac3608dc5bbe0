//! The trunk: outline, soft tissue, breasts, scapulae, stomach bubble.

use super::anatomy::Anatomy;
use super::map::{ellipse, step};
use crate::data::View;

/// Soft tissue in the way, about 1 in the middle, 0 beside the body.
pub fn tissue(a: &Anatomy, x: f64, y: f64) -> f64 {
    let d = (x - a.midline).abs();
    let shoulder = 0.17 + 2.3 * (y + 0.01).max(0.0).powf(0.92);
    let torso = a.torso + 0.06 * (-((y - 0.12) / 0.14).powi(2)).exp() + 0.03 * ((y - 0.75) / 0.25).max(0.0);
    let edge = shoulder.min(torso + 0.05 * step((0.2 - y) / 0.1));
    let inside = edge - d;
    let round = (1.0 - (d / (edge + 0.02)).powi(2)).max(0.0).sqrt();
    let belly = step((y - a.dome[0] - 0.02) / 0.10);
    step(inside / 0.02) * a.tissue * (0.42 + 0.58 * round) * (0.84 + 0.10 * y + 0.12 * belly)
}

/// Breasts, sharper below than above.
pub fn breasts(a: &Anatomy, x: f64, y: f64) -> f64 {
    if a.breast == 0.0 {
        return 0.0;
    }
    let mut sum = 0.0;
    for lung in 0..2 {
        let centre = (a.x(0.62 * a.width, lung), a.dome[lung] - 0.055);
        let fade = step((y - centre.1 + 0.05) / 0.12);
        sum += ellipse(x, y, centre, (0.56 * a.width, 0.135), 0.0, 0.12) * (0.25 + 0.75 * fade);
    }
    a.breast * sum
}

/// Shoulder blades: over the lungs in AP, beside them in PA.
pub fn scapulae(a: &Anatomy, x: f64, y: f64) -> f64 {
    let out = if a.view == View::Ap { 0.83 } else { 1.02 } * a.width;
    let mut sum = 0.0;
    for lung in 0..2 {
        let d = a.outward(x, lung);
        let lean = out + 0.12 * (0.30 - y);
        let blade = step((d - lean) / 0.008) * step((lean + 0.13 - 0.16 * (y - 0.12) - d) / 0.02);
        let tall = step((y - 0.12) / 0.03) * step((0.42 - y) / 0.03);
        let border = (-(((d - lean) / 0.006).powi(2))).exp() * tall;
        sum += 0.55 * blade * tall + 0.5 * border;
    }
    sum
}

/// Gas in the stomach and bowel, under the left dome.
pub fn gas(a: &Anatomy, x: f64, y: f64) -> f64 {
    let bubble = ellipse(x, y, (a.midline + 0.42 * a.width, a.dome[1] + 0.055), (0.085, 0.032), -0.12, 0.35);
    let flexure = ellipse(x, y, (a.midline + 0.74 * a.width, a.base + 0.045), (0.05, 0.035), 0.5, 0.5);
    bubble + 0.6 * flexure
}
