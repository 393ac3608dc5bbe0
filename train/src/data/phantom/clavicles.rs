//! Collar bones.

use super::anatomy::Anatomy;
use super::map::Map;
use crate::data::View;

/// Bone in the way.
pub fn clavicles(a: &Anatomy, side: usize) -> Map {
    let mut map = Map::zeros(side);
    let raised = if a.view == View::Ap { 0.035 } else { 0.0 };
    for lung in 0..2 {
        let curve: Vec<(f64, f64)> = (0..=24)
            .map(|i| {
                let t = f64::from(i) / 24.0;
                let y = a.apex + 0.085 - raised - 0.085 * t + 0.022 * (std::f64::consts::TAU * t).sin();
                (a.x(0.035 + 0.36 * t, lung), y)
            })
            .collect();
        map.line(&curve, 0.0085, 0.75);
        // The cortex: a brighter rim above and below.
        for shift in [-0.011, 0.011] {
            let rim: Vec<(f64, f64)> = curve.iter().map(|(x, y)| (*x, y + shift)).collect();
            map.line(&rim, 0.0028, 0.35);
        }
        let head = [(a.x(0.035, lung), a.apex + 0.084 - raised), (a.x(0.05, lung), a.apex + 0.083 - raised)];
        map.line(&head, 0.013, 0.35);
    }
    map
}
