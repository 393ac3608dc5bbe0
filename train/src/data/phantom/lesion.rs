//! How findings show: soft maps that the renderer mixes in and masks are cut from.

use super::anatomy::Anatomy;
use super::findings::{Consolidation, Device, Effusion, Nodule, Pneumothorax};
use super::map::{Map, ellipse, step};
use super::texture::fractal;
use super::{airway, heart, lungs};

/// Share of the air displaced by fluid: below a meniscus that climbs the chest wall.
pub fn effusion(a: &Anatomy, e: &Effusion, side: usize) -> Map {
    Map::of(side, |x, y| {
        let d = a.outward(x, e.lung);
        let inside = lungs::inside(a, e.lung, x, y);
        if inside < -0.02 || d < 0.0 {
            return 0.0;
        }
        let t = (d / a.width).clamp(0.0, 1.1);
        let level = a.base - e.height - 0.35 * e.height * (t.powi(4) - 0.35) - 0.02 * t.powi(12);
        step((y - level) / (0.010 + 0.05 * e.height)) * step((inside + 0.009) / 0.006)
    })
}

/// Air outside the lung: a strip along the apex and the outer border.
pub fn pneumothorax(a: &Anatomy, p: &Pneumothorax, side: usize) -> Map {
    Map::of(side, |x, y| step(pleura(a, p, x, y) / 0.0025) * step(lungs::inside(a, p.lung, x, y) / 0.004))
}

/// The thin line of the visceral pleura.
pub fn pleural_line(a: &Anatomy, p: &Pneumothorax, side: usize) -> Map {
    Map::of(side, |x, y| {
        let line = (-((pleura(a, p, x, y) / 0.0026).powi(2))).exp();
        line * step(lungs::inside(a, p.lung, x, y) / 0.004)
    })
}

/// Positive outside the collapsed lung's edge.
fn pleura(a: &Anatomy, p: &Pneumothorax, x: f64, y: f64) -> f64 {
    let u = ((y - a.apex) / (a.dome[p.lung] - a.apex)).clamp(0.0, 1.0);
    let strip = p.width * (1.0 - u).powf(0.8) + 0.12 * p.width;
    let side = strip - (lungs::outer(a, y) - a.outward(x, p.lung));
    let top = a.apex + 0.75 * p.width - y;
    side.max(top)
}

/// Share of the air filled: a ragged cloud.
pub fn consolidation(a: &Anatomy, c: &Consolidation, side: usize) -> Map {
    Map::of(side, |x, y| {
        let inside = lungs::inside(a, c.lung, x, y);
        let distance = ((x - c.at.0).powi(2) + ((y - c.at.1) * 1.1).powi(2)).sqrt() / c.radius;
        if inside < -0.02 || distance > 2.0 {
            return 0.0;
        }
        let ragged = 1.0 - distance + 0.30 * fractal(a.texture ^ 0xc0, x, y, 13.0, 3);
        step(ragged / 0.42) * step(inside / 0.008)
    })
}

/// The nodule's thickness, 0 to 1.
pub fn nodule(n: &Nodule, side: usize) -> Map {
    Map::of(side, |x, y| ellipse(x, y, n.at, (n.radius, n.radius * 0.93), 0.4, 0.22))
}

/// The heart, for the mask of cardiomegaly.
pub fn enlarged_heart(a: &Anatomy, side: usize) -> Map {
    Map::of(side, |x, y| heart::silhouette(a, x, y))
}

/// Metal and plastic in the way.
pub fn device(a: &Anatomy, device: Device, side: usize) -> Map {
    let mut map = Map::zeros(side);
    let carina = airway::carina(a);
    match device {
        Device::CentralLine => {
            let (x, y) = (a.midline - 0.042, carina + 0.10);
            let neck = (a.midline - 0.075, -0.02);
            map.line(
                &[neck, (a.midline - 0.082, 0.04), (x - 0.012, a.apex + 0.06), (x, carina), (x + 0.004, y)],
                0.0024,
                0.9,
            );
        }
        Device::TrachealTube => {
            for shift in [-0.0065, 0.0065] {
                let x = a.midline - 0.003 + shift;
                map.line(&[(x + 0.004, -0.02), (x, 0.6 * carina), (x - 0.002, carina - 0.055)], 0.0018, 0.5);
            }
            map.line(&[(a.midline + 0.004, -0.02), (a.midline - 0.001, carina - 0.057)], 0.0012, 0.7);
        }
        Device::Pacemaker => {
            let box_at = (a.midline + 0.62 * a.width, a.apex + 0.135);
            let case = Map::of(side, |x, y| ellipse(x, y, box_at, (0.052, 0.044), 0.3, 0.06));
            map.values.iter_mut().zip(case.values).for_each(|(v, c)| *v += 2.2 * c);
            let tip = (a.midline + 0.10, 0.5 * (a.dome[0] + a.dome[1]) - 0.045);
            let lead = [
                box_at,
                (a.midline + 0.13, a.apex + 0.095),
                (a.midline + 0.02, a.apex + 0.13),
                (a.midline - 0.040, carina - 0.01),
                (a.midline - 0.042, carina + 0.15),
                (a.midline - 0.01, tip.1 + 0.01),
                tip,
            ];
            map.line(&smooth(&lead), 0.0022, 1.1);
            map.line(&[(tip.0 - 0.012, tip.1 + 0.001), tip], 0.0038, 0.8);
        }
        Device::Electrodes => {
            for (lung, out, y) in [(0, 0.70, 0.20), (1, 0.72, 0.18), (1, 0.80, 0.60)] {
                let at = (a.x(out * a.width, lung), a.apex + y);
                let snap = Map::of(side, |x, y| ellipse(x, y, at, (0.012, 0.012), 0.0, 0.2));
                map.values.iter_mut().zip(snap.values).for_each(|(v, s)| *v += 0.8 * s);
                let far = (a.x(1.25 * a.width, lung), at.1 + 0.16);
                map.line(&smooth(&[at, (a.x((out + 0.22) * a.width, lung), at.1 - 0.02), far]), 0.0016, 0.55);
            }
        }
    }
    map
}

/// A smooth curve through `points` (Catmull–Rom).
fn smooth(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let at = |i: isize| points[i.clamp(0, points.len() as isize - 1) as usize];
    let mut out = Vec::new();
    for i in 0..points.len() as isize - 1 {
        let (p, q, r, s) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        for k in 0..10 {
            let t = f64::from(k) / 10.0;
            let blend = |p: f64, q: f64, r: f64, s: f64| {
                0.5 * (2.0 * q
                    + (r - p) * t
                    + (2.0 * p - 5.0 * q + 4.0 * r - s) * t * t
                    + (3.0 * q - p - 3.0 * r + s) * t * t * t)
            };
            out.push((blend(p.0, q.0, r.0, s.0), blend(p.1, q.1, r.1, s.1)));
        }
    }
    out.extend(points.last());
    out
}
