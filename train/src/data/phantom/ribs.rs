//! Ribs: posterior arches that fall sideways from the spine, anterior ends that fall back towards the sternum.

use super::anatomy::Anatomy;
use super::lungs;
use super::map::{Map, step};
use crate::random::mix;

const PAIRS: usize = 10;

/// Bone in the way, 1 = a rib's flat side.
pub fn ribs(a: &Anatomy, side: usize) -> Map {
    Map::of(side, |x, y| {
        let lung = usize::from(x > a.midline);
        let d = a.outward(x, lung);
        let cage = cage(a, y);
        if d > cage + 0.03 || y < a.apex - 0.06 {
            return 0.0;
        }
        let t = d / a.width;
        let mut sum = 0.0;
        for rib in 0..PAIRS {
            sum += posterior(a, rib, t, y) * step((d - 0.03) / 0.015);
            sum += 0.42 * anterior(a, rib, t, y);
        }
        // The arches turn at the side of the cage, where the beam runs along the bone.
        let turn = (-(((cage - d) / 0.011).powi(2))).exp() * step((y - a.apex - 0.02) / 0.04);
        let below = step((a.base + 0.10 - y) / 0.06);
        (sum * step((cage + 0.004 - d) / 0.006) + 0.26 * turn) * below
    })
}

fn cage(a: &Anatomy, y: f64) -> f64 {
    lungs::outer(a, y.min(a.base)) + 0.010
}

/// y of the spine end of a rib.
fn origin(a: &Anatomy, rib: usize) -> f64 {
    // No two ribs lie alike.
    let unlike = (mix(a.texture ^ rib as u64) >> 40) as f64 / (1u64 << 24) as f64 - 0.5;
    a.apex + 0.012 + a.rib_spacing * (rib as f64 + 0.22 * unlike)
}

fn posterior(a: &Anatomy, rib: usize, t: f64, y: f64) -> f64 {
    let curl = 1.0 + 2.2 * (-(rib as f64) / 1.2).exp();
    let axis = origin(a, rib) - 0.035 * t + curl * a.rib_slope * t * t + 0.05 * t.powi(6);
    band((y - axis) / (a.rib * (1.0 + 0.18 * t)))
}

fn anterior(a: &Anatomy, rib: usize, t: f64, y: f64) -> f64 {
    if rib >= 7 || t < 0.25 {
        return 0.0;
    }
    let side = origin(a, rib) + (1.0 + 2.2 * (-(rib as f64) / 1.2).exp()) * a.rib_slope + 0.02;
    let inward = (1.0 - t).max(0.0);
    let axis = side + (0.20 + 0.012 * rib as f64) * inward.powf(0.72);
    band((y - axis) / (a.rib * 1.25)) * step((t - 0.42 + 0.015 * rib as f64) / 0.10)
}

/// Across a rib: flat inside, brighter at the cortex, soft outside. `v` is ±1 at its edges.
fn band(v: f64) -> f64 {
    let v = v.abs();
    if v > 1.6 {
        return 0.0;
    }
    0.72 * step((1.0 - v) / 0.28) + 0.48 * (-((v - 0.86) / 0.17).powi(2)).exp()
}
