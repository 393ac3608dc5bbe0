//! Heart, great vessels and mediastinum.

use super::anatomy::Anatomy;
use super::lungs;
use super::map::{ellipse, step};

/// How much of the way is heart or mediastinum, 0 to 1, at a point.
pub fn cover(a: &Anatomy, x: f64, y: f64) -> f64 {
    silhouette(a, x, y).max(mediastinum(a, x, y))
}

/// The heart alone.
pub fn silhouette(a: &Anatomy, x: f64, y: f64) -> f64 {
    // Transverse diameter; two thirds lie left of the midline (right in the image).
    let diameter = a.cardiothoracic_ratio * 2.0 * a.width;
    let floor = 0.5 * (a.dome[0] + a.dome[1]) + 0.012;
    let (left, right) = (0.66 * diameter, 0.34 * diameter);
    let half = 0.5 * (left + 0.04);
    let ventricle = ellipse(
        x,
        y,
        (a.midline + left - half, floor - 0.50 * half),
        (half * 1.06, half * 0.86),
        a.heart_tilt - 0.25,
        0.10,
    );
    let atrium = ellipse(x, y, (a.midline - right + 0.095, floor - 0.085), (0.095, 0.105), -0.15, 0.13);
    let waist = ellipse(x, y, (a.midline + 0.028, floor - 0.17), (0.068 + 0.12 * (diameter - 0.30), 0.15), -0.22, 0.22);
    // Where the heart rests on the diaphragm there is no air between them.
    let seat = step((left - 0.03 - (x - a.midline)) / 0.04) * step((x - a.midline + right - 0.08) / 0.04);
    let seat = seat * step((y - floor + 0.05) / 0.03);
    // Joined softly, as blood-filled chambers are, not cut out of paper.
    1.0 - (1.0 - ventricle) * (1.0 - atrium) * (1.0 - waist) * (1.0 - seat)
}

/// Vessels and soft tissue along the spine, with the aortic knob.
fn mediastinum(a: &Anatomy, x: f64, y: f64) -> f64 {
    let knob = ellipse(x, y, (a.midline + 0.034, a.apex + 0.215), (a.aorta, a.aorta * 1.12), 0.0, 0.13);
    let pulmonary = ellipse(x, y, (a.midline + 0.042, a.apex + 0.305), (0.034, 0.055), -0.3, 0.25);
    let cava =
        step((x - (a.midline - 0.052)) / 0.008) * step((a.midline - x) / 0.01) * step((y - a.apex - 0.09) / 0.06);
    let descending =
        step((a.midline + 0.048 - x) / 0.006) * step((x - a.midline) / 0.01) * step((y - a.apex - 0.22) / 0.03);
    let edge = lungs::inner(a, y).min(0.055);
    let column = step((edge - (x - a.midline).abs()) / 0.008);
    knob.max(0.75 * pulmonary).max(0.7 * cava).max(0.6 * descending).max(column)
}

/// Hila: soft clouds beside the mediastinum, from which the vessels fan out.
pub fn hila(a: &Anatomy, x: f64, y: f64) -> f64 {
    let right = ellipse(x, y, (a.midline - 0.085, a.apex + 0.335), (0.045, 0.075), 0.25, 0.8);
    let left = ellipse(x, y, (a.midline + 0.088, a.apex + 0.315), (0.042, 0.070), -0.25, 0.8);
    right.max(left)
}
