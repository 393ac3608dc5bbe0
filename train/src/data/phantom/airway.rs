//! Trachea and main bronchi: air in front of the spine.

use super::anatomy::Anatomy;
use super::map::Map;

/// y of the carina.
pub fn carina(a: &Anatomy) -> f64 {
    a.apex + 0.225
}

/// Air in the way, 0 to 1.
pub fn airway(a: &Anatomy, side: usize) -> Map {
    let mut map = Map::zeros(side);
    let (x, y) = (a.midline - 0.006, carina(a));
    map.line(&[(a.midline, -0.05), (x + 0.002, 0.5 * y), (x, y)], 0.0125, 1.0);
    map.line(&[(x, y), (x - 0.032, y + 0.048), (x - 0.055, y + 0.078)], 0.0095, 0.8);
    map.line(&[(x, y), (x + 0.040, y + 0.036), (x + 0.072, y + 0.056)], 0.0085, 0.8);
    map.values.iter_mut().for_each(|v| *v = v.min(1.0));
    map
}
