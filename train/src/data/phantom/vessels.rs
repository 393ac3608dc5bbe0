//! Pulmonary vessels: trees that fan out from the hila and taper.

use super::anatomy::Anatomy;
use super::lungs;
use super::map::Map;
use crate::random::Random;

/// Vessels in the way, about 1 where a large one is.
pub fn vessels(a: &Anatomy, random: &mut Random, side: usize) -> Map {
    let mut map = Map::zeros(side);
    for lung in 0..2 {
        let hilum = (a.x(0.075, lung), a.apex + 0.33);
        for branch in 0..13 {
            // From nearly upwards through sideways to nearly downwards.
            let angle = -1.35 + 2.75 * (f64::from(branch) + 0.5 * random.unit()) / 12.0;
            let start = (hilum.0, hilum.1 + 0.045 * (f64::from(branch) / 6.0 - 1.0));
            grow(a, random, &mut map, lung, start, angle, 0.0052, 0);
        }
    }
    map
}

fn grow(
    a: &Anatomy,
    random: &mut Random,
    map: &mut Map,
    lung: usize,
    start: (f64, f64),
    mut angle: f64,
    width: f64,
    generation: u32,
) {
    if generation > 5 || width < 0.0011 {
        return;
    }
    let length = random.range(0.05, 0.085) * 0.86f64.powi(generation as i32);
    let out = if lung == 0 { -1.0 } else { 1.0 };
    let mut points = vec![start];
    let mut at = start;
    for _ in 0..4 {
        angle += 0.10 * random.normal();
        at = (at.0 + out * angle.cos() * length / 4.0, at.1 + angle.sin() * length / 4.0);
        points.push(at);
    }
    if lungs::inside(a, lung, at.0, at.1) < 0.008 {
        return;
    }
    map.line(&points, width * 0.62, (width / 0.0052).powf(0.75));
    for turn in [-1.0, 1.0] {
        if random.chance(0.86) {
            let fork = angle + turn * random.range(0.18, 0.55);
            let narrower = width * random.range(0.66, 0.82);
            grow(a, random, map, lung, at, fork, narrower, generation + 1);
        }
    }
}
