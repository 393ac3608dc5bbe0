//! From anatomy and findings to grey levels and masks.

use super::anatomy::Anatomy;
use super::findings::Findings;
use super::map::{Map, centre, step};
use super::texture::fractal;
use super::{airway, body, clavicles, heart, lesion, lungs, ribs, spine, vessels};
use crate::data::View;
use crate::random::Random;

/// Share of the soft tissue's attenuation that a lung full of air takes away.
const AIR: f64 = 0.74;

/// A film with the truth about every pixel.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Grey levels [side, side].
    pub pixels: Vec<u8>,
    /// Lung fields, right and left.
    pub lungs: [Vec<bool>; 2],
    /// Heart and mediastinum outside the lungs' free part.
    pub mediastinum: Vec<bool>,
    /// Trachea and main bronchi.
    pub airway: Vec<bool>,
    /// Where each finding is, by label.
    pub findings: Vec<(&'static str, Vec<bool>)>,
}

/// Renders a film; `random` draws vessels and grain.
pub fn render(a: &Anatomy, f: &Findings, random: &mut Random, side: usize) -> Rendered {
    let mut air = [lungs::air(a, 0, side), lungs::air(a, 1, side)];
    let fields = [0, 1].map(|lung| above(&air[lung], 0.30));
    let mut tree = vessels::vessels(a, random, side);
    let airways = airway::airway(a, side);
    let bones = ribs::ribs(a, side);
    let collar = clavicles::clavicles(a, side);
    let heart = Map::of(side, |x, y| heart::cover(a, x, y));
    let mut extra = Map::zeros(side);
    let mut findings: Vec<(&'static str, Vec<bool>)> = Vec::new();
    if let Some(p) = &f.pneumothorax {
        let strip = lesion::pneumothorax(a, p, side);
        mix(&mut tree, &strip, |vessel, share| vessel * (1.0 - share));
        mix(&mut air[p.lung], &strip, |air, share| air * (1.0 + 0.16 * share));
        mix(&mut extra, &lesion::pleural_line(a, p, side), |e, line| e + 0.075 * line);
        findings.push(("pneumothorax", above(&strip, 0.5)));
    }
    if let Some(c) = &f.consolidation {
        let cloud = lesion::consolidation(a, c, side);
        mix(&mut air[c.lung], &cloud, |air, share| air * (1.0 - c.density as f32 * share));
        findings.push(("consolidation", above(&cloud, 0.5)));
    }
    if let Some(e) = &f.effusion {
        let fluid = lesion::effusion(a, e, side);
        mix(&mut air[e.lung], &fluid, |air, share| air * (1.0 - 0.96 * share));
        mix(&mut tree, &fluid, |vessel, share| vessel * (1.0 - share));
        findings.push(("pleural_effusion", above(&fluid, 0.5)));
    }
    if let Some(n) = &f.nodule {
        let ball = lesion::nodule(n, side);
        mix(&mut extra, &ball, |e, share| e + (0.10 + 2.2 * n.radius as f32) * share);
        findings.push(("nodule", above(&ball, 0.5)));
    }
    if f.cardiomegaly {
        findings.push(("cardiomegaly", above(&lesion::enlarged_heart(a, side), 0.5)));
    }
    if !f.devices.is_empty() {
        let mut metal = Map::zeros(side);
        for device in &f.devices {
            mix(&mut metal, &lesion::device(a, *device, side), f32::max);
        }
        mix(&mut extra, &metal, |e, m| e + 0.34 * m);
        findings.push(("support_devices", above(&metal, 0.3)));
    }
    let attenuation = Map::of(side, |x, y| {
        let at = ((y * side as f64) as usize).min(side - 1) * side + ((x * side as f64) as usize).min(side - 1);
        let v = |map: &Map| f64::from(map.values[at]);
        let tissue = body::tissue(a, x, y);
        let breathing = v(&air[0]).max(v(&air[1])) * (1.0 - 0.88 * v(&heart));
        let parenchyma = 0.035 * fractal(a.texture, x, y, 16.0, 4) + 0.03 * fractal(a.texture ^ 1, x, y, 5.0, 2);
        let free = AIR * breathing * (1.0 + parenchyma);
        let muscle = 1.0 + 0.035 * fractal(a.texture ^ 2, x, y, 6.0, 3);
        let soft = tissue * muscle * (1.0 - free) * (1.0 - 0.25 * body::gas(a, x, y) * step((y - a.dome[1]) / 0.02));
        let lung_marks = breathing * (0.105 * v(&tree) + 0.10 * heart::hila(a, x, y));
        // Less of a bone shows through the heart and the belly, where the beam is harder.
        let hardened = 0.55 + 0.45 * breathing;
        let bone = a.bone * (hardened * v(&bones) + 0.95 * v(&collar) + 0.9 * body::scapulae(a, x, y))
            + 0.55 * a.bone * spine::spine(a, x, y) * tissue * (1.0 - 0.5 * step((y - a.dome[0]) / 0.2));
        let rough = 1.0 + 0.08 * fractal(a.texture ^ 3, x, y, 60.0, 2);
        let inside = step(tissue / 0.15 - 1.0);
        let airway = 0.20 * v(&airways) * tissue;
        soft + lung_marks + bone * rough * inside + 0.55 * body::breasts(a, x, y) + v(&extra) * (0.4 + 0.6 * inside)
            - airway
    });
    let pixels = expose(a, &attenuation, random);
    let mediastinum = (0..side * side)
        .map(|i| {
            let (x, y) = centre(i, side);
            heart.values[i] > 0.5 && y > a.apex - 0.04 && y < a.dome[usize::from(x > a.midline)] + 0.03
        })
        .collect();
    Rendered { pixels, lungs: fields, mediastinum, airway: above(&airways, 0.4), findings }
}

/// Blur of the focal spot, photon noise, grain, and the film's characteristic curve.
fn expose(a: &Anatomy, attenuation: &Map, random: &mut Random) -> Vec<u8> {
    let side = attenuation.side;
    let blur = if a.view == View::Ap { 1.5 } else { 1.0 } * side as f64 / 900.0;
    let sharp = blurred(attenuation, blur);
    let veil = blurred(attenuation, side as f64 / 14.0);
    let grain = Map { side, values: (0..side * side).map(|_| random.normal() as f32).collect() };
    let grain = blurred(&grain, 0.55 * (side as f64 / 512.0).sqrt());
    let mean_square = grain.values.iter().map(|g| f64::from(g * g)).sum::<f64>() / grain.values.len() as f64;
    let unit = 1.0 / mean_square.max(1e-12).sqrt();
    let noise = if a.view == View::Ap { 0.016 } else { 0.011 };
    let mut levels = Vec::with_capacity(side * side);
    for i in 0..side * side {
        // Part of the slow variation is taken off, as every digital system does.
        let value = f64::from(sharp.values[i]) - 0.30 * f64::from(veil.values[i]);
        let value = value + noise * unit * f64::from(grain.values[i]) * (0.55 + 0.75 * f64::from(sharp.values[i]));
        levels.push(value);
    }
    let mut sorted = levels.clone();
    sorted.sort_by(f64::total_cmp);
    let at = |q: f64| sorted[((sorted.len() - 1) as f64 * q) as usize];
    let (low, high) = (at(0.004).max(at(0.25) - 0.55), at(0.995));
    let curve = |v: f64| {
        let t = ((v - low) / (high - low)).clamp(-0.2, 1.2);
        // Toe and shoulder of the characteristic curve.
        (1.0 / (1.0 + (-4.2 * (t - 0.52)).exp()) - 0.101) / 0.782
    };
    levels.into_iter().map(|v| (255.0 * curve(v)).round().clamp(0.0, 255.0) as u8).collect()
}

/// Gaussian blur of deviation `sigma` pixels by three box blurs; none below a third of a pixel.
fn blurred(map: &Map, sigma: f64) -> Map {
    let mut out = map.clone();
    if sigma < 0.34 {
        return out;
    }
    let side = map.side;
    let radius = (0.5 * ((4.0 * sigma * sigma + 1.0).sqrt() - 1.0)).max(0.5);
    for _ in 0..3 {
        for line in out.values.chunks_exact_mut(side) {
            box_blur(line, radius);
        }
        let mut turned = transposed(&out);
        for line in turned.values.chunks_exact_mut(side) {
            box_blur(line, radius);
        }
        out = transposed(&turned);
    }
    out
}

fn transposed(map: &Map) -> Map {
    let side = map.side;
    Map { side, values: (0..side * side).map(|i| map.values[(i % side) * side + i / side]).collect() }
}

/// Mean over ±radius (with fractional ends), edges repeated.
fn box_blur(line: &mut [f32], radius: f64) {
    let n = line.len() as isize;
    let whole = radius.floor() as isize;
    let part = radius - whole as f64;
    let at = |i: isize| f64::from(line[i.clamp(0, n - 1) as usize]);
    let mut sum: f64 = (-whole..=whole).map(at).sum();
    let total = 2.0 * radius + 1.0;
    let mut out = Vec::with_capacity(line.len());
    for i in 0..n {
        out.push(((sum + part * (at(i - whole - 1) + at(i + whole + 1))) / total) as f32);
        sum += at(i + whole + 1) - at(i - whole);
    }
    line.copy_from_slice(&out);
}

fn mix(map: &mut Map, other: &Map, blend: impl Fn(f32, f32) -> f32) {
    map.values.iter_mut().zip(&other.values).for_each(|(v, o)| *v = blend(*v, *o));
}

fn above(map: &Map, threshold: f32) -> Vec<bool> {
    map.values.iter().map(|v| *v > threshold).collect()
}
