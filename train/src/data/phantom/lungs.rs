//! Lung fields and diaphragm.

use super::anatomy::Anatomy;
use super::map::{Map, step};

/// 0 at the apex, 1 at the costophrenic angle.
fn depth(a: &Anatomy, y: f64) -> f64 {
    ((y - a.apex) / (a.base - a.apex)).clamp(0.0, 1.0)
}

/// Distance of the outer border from the midline.
pub fn outer(a: &Anatomy, y: f64) -> f64 {
    let u = depth(a, y);
    let apex = 0.40 * a.width;
    let bulge = 1.0 - 0.045 * ((u - 0.8) / 0.2).max(0.0).powi(2);
    (apex + (a.width - apex) * (1.0 - (1.0 - u).powf(2.3)).powf(0.62)) * bulge
}

/// Distance of the inner border from the midline.
pub fn inner(a: &Anatomy, y: f64) -> f64 {
    let u = depth(a, y);
    0.043 + (0.10 * a.width) * (-u / 0.055).exp() + 0.012 * (-((u - 0.42) / 0.18).powi(2)).exp()
}

/// y of the diaphragm at distance `d` from the midline.
pub fn diaphragm(a: &Anatomy, lung: usize, d: f64) -> f64 {
    let top = a.dome[lung];
    let summit = if lung == 0 { 0.48 } else { 0.52 } * a.width;
    if d < summit {
        top + 0.035 * ((summit - d) / summit).powi(2)
    } else {
        let t = ((d - summit) / (a.width - summit)).min(1.2);
        top + (a.base - top) * (0.55 * t.powi(2) + 0.45 * t.powi(5))
    }
}

/// Distance inside the field of `lung`, in shares of the film; negative outside. The part behind the heart belongs to it.
pub fn inside(a: &Anatomy, lung: usize, x: f64, y: f64) -> f64 {
    let d = a.outward(x, lung);
    let sides = (outer(a, y) - d).min(d - inner(a, y));
    let cupola = a.apex + 2.2 * (d - 0.27 * a.width).powi(2) / a.width;
    sides.min(diaphragm(a, lung, d) - y).min(0.8 * (y - cupola))
}

/// How much air is in the way, 0 to 1: less towards the rims, where the lung is thin.
pub fn air(a: &Anatomy, lung: usize, side: usize) -> Map {
    Map::of(side, |x, y| {
        let distance = inside(a, lung, x, y);
        if distance < -0.02 {
            return 0.0;
        }
        let thickness = 0.70 + 0.30 * (distance / 0.10).clamp(0.0, 1.0).sqrt();
        step(distance / 0.006) * thickness
    })
}
